//! How an image came to be.

use carrier_spec::{DiffId, History, ImageId};

use crate::engine::Engine;
use crate::error::Error;

/// One step of an image's making.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryStep {
    /// The image, for the last step.
    pub id: Option<ImageId>,
    /// When, RFC 3339.
    pub created: Option<String>,
    /// By which command.
    pub created_by: String,
    /// Bytes of the layer that it made, where that is known.
    pub size: Option<u64>,
    /// Anything else that the author wrote down.
    pub comment: String,
}

impl Engine {
    /// The steps by which the image that `word` names was made, the last one first.
    ///
    /// # Errors
    /// When there is no such image.
    pub fn image_history(&self, word: &str) -> Result<Vec<HistoryStep>, Error> {
        let image = self.image_by_word(word, None)?;
        let size = |id: &DiffId| self.store.layer_bytes(id).ok();
        let mut steps = steps(&image.config.history, &image.config.rootfs.diff_ids, size);
        if let Some(last) = steps.first_mut() {
            last.id = Some(image.id);
        }
        Ok(steps)
    }
}

/// Joins what an image says about its making with its layers. The two need not fit: then layers
/// without a step are steps of their own.
fn steps(
    history: &[History],
    layers: &[DiffId],
    size: impl Fn(&DiffId) -> Option<u64>,
) -> Vec<HistoryStep> {
    let mut layers = layers.iter();
    let told = history.iter().map(|step| HistoryStep {
        id: None,
        created: step.created.clone(),
        created_by: step.created_by.clone().unwrap_or_default(),
        size: if step.empty_layer {
            Some(0)
        } else {
            layers.next().and_then(&size)
        },
        comment: step.comment.clone().unwrap_or_default(),
    });
    let mut steps: Vec<HistoryStep> = told.collect();
    steps.extend(layers.map(|layer| HistoryStep {
        id: None,
        created: None,
        created_by: String::new(),
        size: size(layer),
        comment: String::new(),
    }));
    steps.reverse();
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use carrier_spec::Digest;

    #[test]
    fn steps_have_the_sizes_of_their_layers() {
        let layer = |digit| DiffId(Digest::from_sha256([digit; 32]));
        let step = |command: &str, empty_layer| History {
            created_by: Some(command.to_owned()),
            empty_layer,
            ..History::default()
        };
        let history = [step("ADD", false), step("CMD", true), step("RUN", false)];
        let size = |id: &DiffId| Some(u64::from(id.0.hex().as_bytes()[1] - b'0'));
        let shown = |layers: &[DiffId]| -> Vec<(String, Option<u64>)> {
            let steps = steps(&history, layers, size).into_iter();
            steps.map(|step| (step.created_by, step.size)).collect()
        };
        let expected = |steps: &[(&str, Option<u64>)]| -> Vec<(String, Option<u64>)> {
            let steps = steps.iter();
            steps
                .map(|(text, size)| ((*text).to_owned(), *size))
                .collect()
        };
        assert_eq!(
            shown(&[layer(1), layer(2)]),
            expected(&[("RUN", Some(2)), ("CMD", Some(0)), ("ADD", Some(1))])
        );
        assert_eq!(
            shown(&[layer(1), layer(2), layer(3)]).first(),
            expected(&[("", Some(3))]).first()
        );
        assert_eq!(
            shown(&[layer(1)]).first(),
            expected(&[("RUN", None)]).first()
        );
    }
}

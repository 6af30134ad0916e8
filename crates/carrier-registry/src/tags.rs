//! The tags of a repository, distribution-spec "Listing Tags".

use carrier_spec::Reference;
use reqwest::header::LINK;
use serde::Deserialize;

use crate::Error;
use crate::client::Client;
use crate::{Progress, PullOptions, runtime};

const MAX_PAGE: u64 = 4 << 20;

/// A registry that never comes to an end is not listened to for ever.
const MAX_PAGES: usize = 1000;

#[derive(Deserialize)]
struct Page {
    /// Some registries say `null` for none.
    tags: Option<Vec<String>>,
}

/// Lists the tags of the repository of a reference.
///
/// # Errors
/// [`Error`]; a tag that is none is an error too.
pub fn tags(
    reference: &Reference,
    options: &PullOptions,
    progress: &dyn Progress,
) -> Result<Vec<Reference>, Error> {
    let notes = |text: &str| progress.note(text);
    let client = Client::for_pull(reference, options, &notes)?;
    runtime()?.block_on(async {
        let mut found = Vec::new();
        let mut path = "tags/list".to_owned();
        for _ in 0..MAX_PAGES {
            let response = client.document(&path).await?;
            let next = response.headers().get(LINK);
            let next = next.and_then(|link| next_page(link.to_str().ok()?));
            let bytes = client.body(response, "list of tags", MAX_PAGE).await?;
            let page: Page = serde_json::from_slice(&bytes)
                .map_err(|_| client.protocol_error("its list of tags cannot be read"))?;
            for tag in page.tags.unwrap_or_default() {
                let named = reference.at_tag(&tag);
                found.push(named.map_err(|_| client.protocol_error("a tag of its list is none"))?);
            }
            match next {
                Some(query) => path = format!("tags/list?{query}"),
                None => return Ok(found),
            }
        }
        Err(client.protocol_error("its list of tags has no end"))
    })
}

/// The query of the next page, `</v2/x/tags/list?n=10&last=b>; rel="next"`: RFC 8288. Whatever host the
/// link names, the same registry is asked.
fn next_page(link: &str) -> Option<String> {
    let (target, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = rest.replace(' ', "").contains("rel=\"next\"");
    let (_, query) = target.split_once('?')?;
    is_next.then(|| query.to_owned())
}

#[cfg(test)]
mod tests {
    use super::next_page;

    #[test]
    fn the_next_page_is_asked_of_the_same_registry() {
        let link = r#"</v2/x/tags/list?last=b&n=10>; rel="next""#;
        assert_eq!(next_page(link).as_deref(), Some("last=b&n=10"));
        let foreign = r#"<https://example.org/v2/x/tags/list?last=b>; rel="next""#;
        assert_eq!(next_page(foreign).as_deref(), Some("last=b"));
        for none in [
            "",
            "<x>",
            r#"</v2/x?last=b>; rel="prev""#,
            r#"</v2/x>; rel="next""#,
        ] {
            assert_eq!(next_page(none), None, "{none:?}");
        }
    }
}

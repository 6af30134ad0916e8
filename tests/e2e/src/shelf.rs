//! One image as a registry has it.

use std::collections::HashMap;

use crate::image::{Image, digest};
use crate::internet::Reply;

/// The documents of an image, `latest`, in a repository.
#[derive(Clone, Debug)]
pub struct Shelf {
    documents: HashMap<String, (String, Vec<u8>)>,
    repository: String,
}

impl Shelf {
    /// Puts an image into a repository.
    #[must_use]
    pub fn of(repository: &str, image: &Image) -> Self {
        let (manifest, blobs) = image.build();
        let mut documents = HashMap::new();
        for blob in blobs {
            let path = format!("/v2/{repository}/blobs/{}", digest(&blob));
            documents.insert(path, ("application/octet-stream".to_owned(), blob));
        }
        let kind = manifest["mediaType"].as_str().unwrap().to_owned();
        let bytes = serde_json::to_vec(&manifest).unwrap();
        for name in ["latest", &digest(&bytes)] {
            let path = format!("/v2/{repository}/manifests/{name}");
            documents.insert(path, (kind.clone(), bytes.clone()));
        }
        Self {
            documents,
            repository: repository.to_owned(),
        }
    }

    /// What is at a path.
    #[must_use]
    pub fn get(&self, path: &str) -> Reply {
        match self.documents.get(path) {
            Some((kind, content)) => Reply::status(200)
                .field(&format!("Content-Type: {kind}"))
                .body(content.clone()),
            None => Reply::status(404).body(r#"{"errors":[{"message":"nothing here"}]}"#),
        }
    }

    /// What is at the path of a blob whose host has other paths, such as `/bucket/sha256:...`.
    #[must_use]
    pub fn blob(&self, path: &str) -> Reply {
        let name = path.rsplit('/').next().unwrap_or_default();
        self.get(&format!("/v2/{}/blobs/{name}", self.repository))
    }
}

//! Signatures as cosign makes them with a key: a payload that names an image by its digest, and an ECDSA
//! signature of it, in an image of their own with the tag `sha256-<hex>.sig`.
//!
//! Nothing but the key has to be here, and nobody else is asked: whatever is missing, unreadable or about
//! something else is no signature.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use carrier_spec::{Digest, Reference};
use carrier_store::digest_of;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;

use crate::Error;
use crate::client::Client;

const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// cosign's own name for the registry.
const DOCKER_HUB: &str = "index.docker.io";

/// Nobody signs an image so often.
const MAX_SIGNATURES: usize = 64;
const MAX_DOCUMENT: u64 = 256 << 10;

/// How a public key on the curve P-256 begins, RFC 5480: the algorithm, the curve, and 65 bytes that
/// begin with 4.
const P256_HEADER: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// Somebody's key, ECDSA on the curve P-256, as `cosign generate-key-pair` makes it.
#[derive(Clone, Debug)]
pub(crate) struct PublicKey(Vec<u8>);

impl PublicKey {
    /// Reads a PEM file.
    pub(crate) fn parse(pem: &[u8]) -> Result<Self, &'static str> {
        let key = SubjectPublicKeyInfoDer::from_pem_slice(pem)
            .map_err(|_| "it has no PEM section PUBLIC KEY")?;
        let is_p256 = key.as_ref().starts_with(&P256_HEADER) && key.as_ref().len() == 91;
        let point = key.as_ref().get(P256_HEADER.len() - 1..);
        match point {
            Some(point) if is_p256 => Ok(Self(point.to_vec())),
            _ => Err("its key is not of ECDSA on the curve P-256"),
        }
    }

    fn has_signed(&self, payload: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0)
            .verify(payload, signature)
            .is_ok()
    }
}

#[derive(Deserialize)]
struct SignatureManifest {
    #[serde(default)]
    layers: Vec<SignatureLayer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignatureLayer {
    media_type: String,
    digest: Digest,
    #[serde(default)]
    annotations: Annotations,
}

#[derive(Default, Deserialize)]
struct Annotations {
    #[serde(rename = "dev.cosignproject.cosign/signature", default)]
    signature: String,
}

/// containers-signature(5), "simple signing".
#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    identity: Identity,
    image: SignedImage,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Identity {
    #[serde(rename = "docker-reference")]
    reference: String,
}

#[derive(Deserialize)]
struct SignedImage {
    #[serde(rename = "docker-manifest-digest")]
    digest: Digest,
}

/// Looks for a signature of the image `digest` by one of the keys; the inner error says why there is
/// none that counts.
pub(super) async fn find(
    client: &Client<'_>,
    reference: &Reference,
    digest: &Digest,
    keys: &[PublicKey],
) -> Result<Result<(), String>, Error> {
    let tag = format!("{}.sig", digest.as_str().replace(':', "-"));
    let response = match client.manifest(&tag).await {
        Err(Error::NotFound { .. }) => return Ok(Err("it is not signed".to_owned())),
        other => other?,
    };
    let bytes = client
        .body(response, "signature manifest", MAX_DOCUMENT)
        .await?;
    let Ok(manifest) = serde_json::from_slice::<SignatureManifest>(&bytes) else {
        return Ok(Err("its signature cannot be read".to_owned()));
    };
    let mut reason = "it is not signed".to_owned();
    let layers = manifest.layers.into_iter().take(MAX_SIGNATURES);
    for layer in layers.filter(|layer| layer.media_type == PAYLOAD) {
        let response = client.blob(layer.digest.as_str()).await?;
        let payload = client.body(response, "signature", MAX_DOCUMENT).await?;
        if digest_of(&payload) != layer.digest {
            reason = "its signature is damaged".to_owned();
            continue;
        }
        match check(
            &payload,
            &layer.annotations.signature,
            keys,
            reference,
            digest,
        ) {
            Ok(()) => return Ok(Ok(())),
            Err(why) => reason = why.to_owned(),
        }
    }
    Ok(Err(reason))
}

/// Whether one of the keys has signed that this reference is that image.
fn check(
    payload: &[u8],
    signature: &str,
    keys: &[PublicKey],
    reference: &Reference,
    digest: &Digest,
) -> Result<(), &'static str> {
    let signature = STANDARD
        .decode(signature)
        .map_err(|_| "its signature is not in base 64")?;
    if !keys.iter().any(|key| key.has_signed(payload, &signature)) {
        return Err("it is signed by somebody else");
    }
    let Payload { critical } =
        serde_json::from_slice(payload).map_err(|_| "what was signed cannot be read")?;
    if critical.kind != "cosign container image signature" {
        return Err("what was signed is no image");
    }
    if critical.image.digest != *digest {
        return Err("its signature is that of another image");
    }
    if !is_about(&critical.identity.reference, reference) {
        return Err("its signature is that of an image with another name");
    }
    Ok(())
}

/// Whether a signed name is that of the reference. A tag in it must be the reference's too.
fn is_about(signed: &str, reference: &Reference) -> bool {
    let signed = match signed.strip_prefix(DOCKER_HUB) {
        Some(rest) => format!("docker.io{rest}"),
        None => signed.to_owned(),
    };
    let has_tag = signed
        .rsplit('/')
        .next()
        .is_some_and(|last| last.contains(':'));
    let Ok(signed) = signed.parse::<Reference>() else {
        return false;
    };
    signed.registry() == reference.registry()
        && signed.repository() == reference.repository()
        && (!has_tag || signed.tag() == reference.tag())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

    const HEX: &str = "abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789";

    struct Signer(EcdsaKeyPair);

    impl Signer {
        fn new() -> Self {
            Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
        }

        fn key(&self) -> PublicKey {
            PublicKey(self.0.public_key().as_ref().to_vec())
        }

        fn pem(&self) -> String {
            let der = [&P256_HEADER[..26], self.0.public_key().as_ref()].concat();
            let text = STANDARD.encode(der);
            format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
        }

        fn sign(&self, payload: &[u8]) -> String {
            let signature = self.0.sign(&SystemRandom::new(), payload).unwrap();
            STANDARD.encode(signature)
        }
    }

    fn payload(name: &str, digest: &str, kind: &str) -> Vec<u8> {
        serde_json::json!({ "critical": {
            "identity": { "docker-reference": name },
            "image": { "docker-manifest-digest": digest }, "type": kind,
        }, "optional": null })
        .to_string()
        .into_bytes()
    }

    #[test]
    fn r16_only_a_signature_of_this_image_under_this_name_counts() {
        const KIND: &str = "cosign container image signature";
        let (signer, stranger) = (Signer::new(), Signer::new());
        let reference: Reference = "nginx:1".parse().unwrap();
        let this = format!("sha256:{HEX}");
        let digest: Digest = this.parse().unwrap();
        let other = format!("sha256:{}", HEX.replace('a', "b"));
        let name = "index.docker.io/library/nginx";
        let verdict = |payload: &[u8], signature: &str| {
            check(payload, signature, &[signer.key()], &reference, &digest)
        };
        let good = payload(name, &this, KIND);
        assert_eq!(verdict(&good, &signer.sign(&good)), Ok(()));
        let tagged = payload(&format!("{name}:1"), &this, KIND);
        assert_eq!(verdict(&tagged, &signer.sign(&tagged)), Ok(()));
        assert!(verdict(&good, &stranger.sign(&good)).is_err());
        assert!(verdict(&good, "").is_err() && verdict(&good, "!").is_err());
        for bad in [
            payload(name, &other, KIND),
            payload("index.docker.io/library/redis", &this, KIND),
            payload("ghcr.io/library/nginx", &this, KIND),
            payload(&format!("{name}:2"), &this, KIND),
            payload("", &this, KIND),
            payload(name, &this, "atomic container signature"),
            b"{}".to_vec(),
        ] {
            let text = String::from_utf8_lossy(&bad).into_owned();
            assert!(verdict(&bad, &signer.sign(&bad)).is_err(), "{text}");
        }
    }

    #[test]
    fn keys_are_read_from_pem() {
        let signer = Signer::new();
        let key = PublicKey::parse(signer.pem().as_bytes()).unwrap();
        assert_eq!(key.0, signer.key().0);
        for bad in [
            "",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        ] {
            assert!(PublicKey::parse(bad.as_bytes()).is_err());
        }
    }
}

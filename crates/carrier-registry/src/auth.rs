//! Proving who we are: challenges, tokens, and where they come from.

mod challenge;
mod exchange;
mod scope;
mod session;
mod token;

pub(crate) use challenge::Challenge;
pub(crate) use scope::Scopes;
pub(crate) use session::{CredentialSource, Home, Session};
pub(crate) use token::Authorization;

//! Signing of requests (ACL; spec client G.6).

pub(crate) mod digest;

use std::fmt;

use rocketwire_protocol::{Command, Fields};

/// Who the client is to brokers and name servers that check signatures.
///
/// Neither `Debug` nor any error shows the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    access_key: String,
    secret_key: String,
    security_token: Option<String>,
}

impl Credentials {
    /// An access key and its secret.
    pub fn new(access_key: impl Into<String>, secret_key: impl Into<String>) -> Credentials {
        Credentials { access_key: access_key.into(), secret_key: secret_key.into(), security_token: None }
    }

    /// Adds the token of a temporary credential.
    pub fn with_security_token(mut self, token: impl Into<String>) -> Credentials {
        self.security_token = Some(token.into());
        self
    }

    /// Adds `AccessKey`, `SecurityToken` and `Signature` to a request.
    ///
    /// The signature covers the values of all fields, sorted by key, and the body. Opaque, code and flags are
    /// not signed, so a retry keeps its signature. Must be the last change to the fields.
    pub(crate) fn sign(&self, request: &mut Command) {
        let mut pairs: Vec<(String, String)> = Vec::with_capacity(16);
        request.fields.visit(|key, value| {
            let key = String::from_utf8_lossy(key);
            if !matches!(&*key, "AccessKey" | "SecurityToken" | "Signature") {
                pairs.push((key.into_owned(), value.text().to_string()));
            }
        });
        pairs.push(("AccessKey".into(), self.access_key.clone()));
        if let Some(token) = &self.security_token {
            pairs.push(("SecurityToken".into(), token.clone()));
        }
        pairs.sort();
        let mut parts: Vec<&[u8]> = pairs.iter().map(|(_, value)| value.as_bytes()).collect();
        parts.push(&request.body);
        let signature = digest::base64(&digest::hmac_sha1(self.secret_key.as_bytes(), &parts));
        let signed = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        request.fields = Fields::from_iter(signed.chain([("Signature", signature.as_str())]));
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rocketwire_protocol::RequestCode;

    use super::*;

    #[test]
    fn the_content_is_the_sorted_values_and_the_body() {
        // spec: client 135 136
        let mut request = Command::request(RequestCode::SEND_MESSAGE_V2)
            .with_field("b", "TopicTest")
            .with_field("a", "group")
            .with_field("Signature", "left over from another attempt")
            .with_body("hello");
        Credentials::new("key", "secret").with_security_token("token").sign(&mut request);
        // "AccessKey" < "SecurityToken" < "a" < "b": upper case sorts first.
        let expected = digest::base64(&digest::hmac_sha1(b"secret", &[b"keytokengroupTopicTesthello"]));
        assert_eq!(request.fields.get("Signature").as_deref(), Some(&*expected));
        assert_eq!(request.fields.get("AccessKey").as_deref(), Some("key"));
        assert_eq!(request.fields.get("SecurityToken").as_deref(), Some("token"));
        assert_eq!(request.fields.get("b").as_deref(), Some("TopicTest"));
        assert_eq!(request.fields.to_vec().len(), 5);
    }

    #[test]
    fn signing_twice_changes_nothing() {
        let mut request = Command::request(RequestCode::HEART_BEAT).with_body("{}");
        let credentials = Credentials::new("key", "secret");
        credentials.sign(&mut request);
        let once = request.fields.get("Signature");
        credentials.sign(&mut request);
        assert_eq!(request.fields.get("Signature"), once);
    }

    #[test]
    fn the_secret_is_never_printed() {
        let text = format!("{:?}", Credentials::new("key", "hunter2").with_security_token("sesame"));
        assert!(text.contains("key") && !text.contains("hunter2") && !text.contains("sesame"), "{text}");
    }
}

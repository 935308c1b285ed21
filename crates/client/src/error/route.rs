//! "No route info of this topic", with what is behind it.

use std::fmt;

use rocketwire_remoting::RpcError;

/// No route to a topic. Says which name servers said what, and what to do about it.
#[derive(Clone, Debug)]
pub struct RouteError {
    pub(crate) topic: String,
    pub(crate) kind: RouteErrorKind,
    pub(crate) answers: Vec<NameServerAnswer>,
    pub(crate) brokers: Option<Vec<String>>,
    pub(crate) source: Option<Box<RpcError>>,
}

/// What kind of [`RouteError`] it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RouteErrorKind {
    /// The client was built without a name server (Java: 10004).
    NoNameServer,
    /// The name servers answered, and none knows the topic (Java: 10005).
    NoRoute,
    /// There is a route, but not to a queue that could be written to.
    NotWritable,
    /// No name server answered.
    Unreachable,
    /// A name server refused, or its answer cannot be read.
    Refused,
}

/// What one name server said about a topic.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NameServerAnswer {
    /// The name server.
    pub address: String,
    /// Its answer, or why there is none, in words.
    pub answer: String,
}

impl RouteError {
    pub(crate) fn new(topic: &str, kind: RouteErrorKind) -> RouteError {
        RouteError { topic: topic.to_owned(), kind, answers: Vec::new(), brokers: None, source: None }
    }

    /// The kind, to match on.
    pub fn kind(&self) -> RouteErrorKind {
        self.kind
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// What each name server said.
    pub fn answers(&self) -> &[NameServerAnswer] {
        &self.answers
    }

    /// The brokers that the name server knows, if it was asked.
    pub fn brokers(&self) -> Option<&[String]> {
        self.brokers.as_deref()
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match (self.kind, self.brokers.as_deref()) {
            (RouteErrorKind::NoNameServer, _) => {
                "set the name servers when building the client, e.g. \"10.0.0.1:9876;10.0.0.2:9876\""
            }
            (RouteErrorKind::NoRoute, Some([])) => {
                "the name server knows no broker: is a broker running, and does it register with this name server?"
            }
            (RouteErrorKind::NoRoute, _) => {
                "create the topic, or let the broker create it (autoCreateTopicEnable, which offers TBW102)"
            }
            (RouteErrorKind::NotWritable, _) => {
                "the topic's queues are read-only or their broker has no master: check the topic's perm and the broker"
            }
            (RouteErrorKind::Unreachable, _) => "check the name servers' addresses, and that they are up",
            (RouteErrorKind::Refused, _) => "see the name server's answer",
        }
    }
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            RouteErrorKind::NoNameServer => f.write_str("No name server address, please set it.")?,
            RouteErrorKind::Unreachable => {
                write!(f, "the route of topic {} could not be looked up", self.topic)?
            }
            _ => write!(f, "No route info of this topic: {}", self.topic)?,
        }
        for (i, answer) in self.answers.iter().enumerate() {
            let before = if i == 0 { "; name servers: " } else { ", " };
            write!(f, "{before}{} says {}", answer.address, answer.answer)?;
        }
        match self.brokers.as_deref() {
            Some([]) => f.write_str("; brokers: none")?,
            Some(brokers) => write!(f, "; brokers: {}", brokers.join(", "))?,
            None => {}
        }
        if let Some(source) = &self.source {
            write!(f, "; {source}")?;
        }
        write!(f, ". Hint: {}", self.hint())
    }
}

impl std::error::Error for RouteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_who_said_what_and_what_to_do() {
        // spec: client 29
        let mut error = RouteError::new("Orders", RouteErrorKind::NoRoute);
        error.answers =
            vec![NameServerAnswer { address: "10.0.0.1:9876".into(), answer: "TOPIC_NOT_EXIST(17)".into() }];
        error.brokers = Some(vec![]);
        let text = error.to_string();
        assert!(text.starts_with("No route info of this topic: Orders"), "{text}");
        assert!(text.contains("10.0.0.1:9876 says TOPIC_NOT_EXIST(17)"), "{text}");
        assert!(text.contains("knows no broker"), "{text}");
        error.brokers = Some(vec!["broker-a".into()]);
        assert!(error.to_string().contains("autoCreateTopicEnable"), "{error}");
    }
}

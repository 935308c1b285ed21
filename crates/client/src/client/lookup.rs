//! Asking name servers for routes (spec client E.3).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use bytestring::ByteString;
use rocketwire_protocol::{
    Command, RequestCode, ResponseCode,
    body::{self, ClusterInfo, TopicRouteData},
    header::GetRouteInfoRequestHeader,
};
use tokio::time::Instant;

use super::Inner;
use crate::{
    NameServerAnswer, RouteError, RouteErrorKind, identity,
    route::{TopicRoute, narrowed},
};

/// Who is looking up which topic: callers of one topic share one lookup.
#[derive(Debug, Default)]
pub(crate) struct Lookups(Mutex<HashMap<ByteString, Weak<tokio::sync::Mutex<()>>>>);

impl Lookups {
    fn of(&self, topic: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = all.get(topic).and_then(Weak::upgrade) {
            return running;
        }
        all.retain(|_, lookup| lookup.strong_count() > 0);
        let new = Arc::new(tokio::sync::Mutex::new(()));
        all.insert(topic.into(), Arc::downgrade(&new));
        new
    }
}

/// The topic whose queues a topic that does not exist yet will resemble.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Template<'a> {
    pub(crate) topic: &'a str,
    pub(crate) queues: i32,
}

impl Inner {
    /// The route of a topic, from the cache or a name server.
    pub(crate) async fn route(&self, topic: &str, deadline: Instant) -> Result<Arc<TopicRoute>, RouteError> {
        let cached = self.routes().topic(topic);
        match cached {
            Some(route) => Ok(route),
            None => self.find_route(topic, None, |_| true, deadline).await,
        }
    }

    /// A route with queues to write to. A topic that no name server knows gets the template's.
    ///
    /// Not `async`, so that the usual case, a cached route, costs neither a future nor a clone of the topic.
    pub(crate) fn cached_publish_route(&self, topic: &str) -> Option<Arc<TopicRoute>> {
        self.routes().topic(topic).filter(|route| !route.publish.is_empty())
    }

    pub(crate) async fn publish_route(
        &self,
        topic: &str,
        template: Template<'_>,
        deadline: Instant,
    ) -> Result<Arc<TopicRoute>, RouteError> {
        self.find_route(topic, Some(template), |route| !route.publish.is_empty(), deadline).await
    }

    async fn find_route(
        &self,
        topic: &str,
        template: Option<Template<'_>>,
        usable: impl Fn(&TopicRoute) -> bool,
        deadline: Instant,
    ) -> Result<Arc<TopicRoute>, RouteError> {
        if self.options.name_servers.is_empty() {
            return Err(RouteError::new(topic, RouteErrorKind::NoNameServer));
        }
        // An async mutex: the one who holds it asks, the others wait for the answer. If the asker is dropped,
        // the next one asks.
        let lookup = self.lookups.of(topic);
        let Ok(_only_one) = tokio::time::timeout_at(deadline, lookup.lock()).await else {
            let mut error = RouteError::new(topic, RouteErrorKind::Unreachable);
            error.answers = vec![NameServerAnswer {
                address: self.options.name_servers.join(";"),
                answer: "nothing before the deadline; another lookup of the topic still waits".into(),
            }];
            return Err(error);
        };
        let cached = self.routes().topic(topic);
        if let Some(route) = cached.filter(|route| usable(route)) {
            return Ok(route);
        }
        if let Some(route) = self.ask(topic, deadline).await?.filter(|route| usable(route)) {
            return Ok(route);
        }
        let known = self.routes().topic(topic).is_some();
        if known {
            return Err(RouteError::new(topic, RouteErrorKind::NotWritable));
        }
        if let Some(template) = template
            && let Some(data) = self.request_route(template.topic, deadline).await?
        {
            let route = self.apply(topic, narrowed(data, template.queues));
            if let Some(route) = route.filter(|route| usable(route)) {
                return Ok(route);
            }
        }
        match self.explain(topic, deadline).await {
            Ok(data) => {
                let route = self.apply(topic, data);
                let route = route.filter(|route| usable(route));
                route.ok_or_else(|| RouteError::new(topic, RouteErrorKind::NotWritable))
            }
            Err(error) => Err(error),
        }
    }

    /// Asks the name server in use; `None` if it does not know the topic. The table takes the answer in.
    pub(crate) async fn ask(
        &self,
        topic: &str,
        deadline: Instant,
    ) -> Result<Option<Arc<TopicRoute>>, RouteError> {
        let data = self.request_route(topic, deadline).await?;
        Ok(data.and_then(|data| self.apply(topic, data)))
    }

    fn apply(&self, topic: &str, data: TopicRouteData) -> Option<Arc<TopicRoute>> {
        let mut routes = self.routes_mut();
        let applied = routes.apply(topic, data, identity::random() as u32);
        let route = routes.topic(topic);
        drop(routes);
        if applied.changed {
            tracing::debug!(topic, "route changed");
        }
        if applied.new_address {
            self.want_heartbeat();
        }
        route
    }

    async fn request_route(
        &self,
        topic: &str,
        deadline: Instant,
    ) -> Result<Option<TopicRouteData>, RouteError> {
        let timeout = self.options.api_timeout.min(deadline.saturating_duration_since(Instant::now()));
        let answer = self.remoting.invoke_name_server(route_request(topic), timeout).await;
        let answer = answer.map_err(|source| {
            let mut error = RouteError::new(topic, RouteErrorKind::Unreachable);
            error.source = Some(Box::new(source));
            error
        })?;
        let refused = |answer: String| {
            let mut error = RouteError::new(topic, RouteErrorKind::Refused);
            error.answers = vec![NameServerAnswer { address: "the name server".into(), answer }];
            error
        };
        match answer.response_code() {
            ResponseCode::SUCCESS => {
                body::decode(&answer.body).map(Some).map_err(|error| refused(error.to_string()))
            }
            ResponseCode::TOPIC_NOT_EXIST => Ok(None),
            _ => Err(refused(words(&answer))),
        }
    }

    /// No route: asks each name server by itself what it says and which brokers it knows. One of them may know
    /// the topic all the same; then its route is the answer.
    async fn explain(&self, topic: &str, deadline: Instant) -> Result<TopicRouteData, RouteError> {
        let mut error = RouteError::new(topic, RouteErrorKind::NoRoute);
        let left = || (MAX_EXPLAIN).min(deadline.saturating_duration_since(Instant::now()));
        for address in self.options.name_servers.iter().take(MAX_EXPLAINED) {
            let answer = match self.remoting.invoke(address, route_request(topic), left()).await {
                Ok(answer) if answer.response_code() == ResponseCode::SUCCESS => {
                    match body::decode(&answer.body) {
                        Ok(data) => return Ok(data),
                        Err(error) => error.to_string(),
                    }
                }
                Ok(answer) => answer.response_code().to_string(),
                Err(error) => error.to_string(),
            };
            error.answers.push(NameServerAnswer { address: address.clone(), answer });
        }
        let clusters = Command::request(RequestCode::GET_BROKER_CLUSTER_INFO);
        if let Ok(answer) = self.remoting.invoke_name_server(clusters, left()).await
            && let Ok(info) = body::decode::<ClusterInfo>(&answer.body)
        {
            error.brokers = Some(info.broker_addr_table.keys().map(ToString::to_string).collect());
        }
        Err(error)
    }
}

/// The longest that one question of [`Inner::explain`] may take.
const MAX_EXPLAIN: Duration = Duration::from_millis(500);
/// Name servers that [`Inner::explain`] asks at the most.
const MAX_EXPLAINED: usize = 8;

fn route_request(topic: &str) -> Command {
    Command::of(&GetRouteInfoRequestHeader {
        topic: topic.into(),
        accept_standard_json_only: Some(true),
        ..GetRouteInfoRequestHeader::default()
    })
}

fn words(answer: &Command) -> String {
    let remark = answer.remark.as_deref().unwrap_or_default();
    format!("{}: {remark}", answer.response_code())
}

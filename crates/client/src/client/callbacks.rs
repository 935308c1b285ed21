//! What brokers ask of a client (spec client F.12). Never blocks: these run on connection tasks.

use std::sync::{Arc, Weak};

use rocketwire_protocol::{
    Command, HeaderError, RequestCode, RequestHeader, ResponseCode,
    body::{self, GetConsumerStatusBody, ResetOffsetBody},
    header::{
        CheckTransactionStateRequestHeader, ConsumeMessageDirectlyResultRequestHeader,
        GetConsumerRunningInfoRequestHeader, GetConsumerStatusRequestHeader,
        NotifyConsumerIdsChangedRequestHeader, ResetOffsetRequestHeader,
    },
    message::{MessageExt, RecordView, property},
};
use rocketwire_remoting::{Answer, Connection, HookError, Lane, Request, Router, RpcHook, processor_fn};

use super::{ClientOptions, Inner};
use crate::{
    Credentials,
    consumer::{self, PushCore},
    producer,
};

/// The processors for requests from brokers, and the hooks of every call; the signature comes last.
pub(super) fn router(client: &Weak<Inner>, options: &ClientOptions) -> Router {
    let on = |handle: fn(&Arc<Inner>, Request) -> Answer| {
        let client = client.clone();
        processor_fn(move |request| match client.upgrade() {
            Some(client) => handle(&client, request),
            None => Answer::Now(Command::error(ResponseCode::SYSTEM_ERROR, "the client is closed")),
        })
    };
    let mut router = Router::new()
        .route(RequestCode::CHECK_TRANSACTION_STATE, on(check_transaction), Lane::inline())
        .route(RequestCode::NOTIFY_CONSUMER_IDS_CHANGED, on(members_changed), Lane::inline())
        .route(RequestCode::RESET_CONSUMER_CLIENT_OFFSET, on(reset_offsets), Lane::inline())
        .route(RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT, on(offsets), Lane::inline())
        .route(RequestCode::GET_CONSUMER_RUNNING_INFO, on(running_info), Lane::inline())
        .route(RequestCode::CONSUME_MESSAGE_DIRECTLY, on(consume_directly), Lane::inline())
        .route(RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT, on(reply), Lane::inline());
    if let Some(namespace) = &options.namespace {
        router = router.hook(Arc::new(Namespace(namespace.clone())));
    }
    for hook in &options.hooks {
        router = router.hook(hook.clone());
    }
    match &options.credentials {
        Some(credentials) => router.hook(Arc::new(Sign(credentials.clone()))),
        None => router,
    }
}

struct Namespace(String);

impl RpcHook for Namespace {
    fn before(&self, _: &str, request: &mut Command) -> Result<(), HookError> {
        request.fields.push("nsd", "true");
        request.fields.push("ns", &self.0);
        Ok(())
    }
}

struct Sign(Credentials);

impl RpcHook for Sign {
    fn before(&self, _: &str, request: &mut Command) -> Result<(), HookError> {
        self.0.sign(request);
        Ok(())
    }
}

fn header<H: RequestHeader>(request: &Request) -> Result<H, HeaderError> {
    request.command.header().inspect_err(|error| tracing::warn!(%error, "a broker's request cannot be read"))
}

fn unreadable(error: &HeaderError) -> Answer {
    Answer::Now(Command::error(ResponseCode::SYSTEM_ERROR, error.to_string()))
}

/// 39: the outcome is sent as a request of its own; this one has no answer.
fn check_transaction(client: &Arc<Inner>, request: Request) -> Answer {
    let Ok(asked) = header::<CheckTransactionStateRequestHeader>(&request) else { return Answer::Taken };
    let Some(message) = message(client, &request) else { return Answer::Taken };
    let group = message.property(property::PGROUP).unwrap_or_default().to_owned();
    let Some(producer) = client.groups.producer(&group) else {
        tracing::warn!(group, "a broker asks about a transaction of a group that is not here");
        return Answer::Taken;
    };
    let connection = request.connection().clone();
    client.spawn_callback(answer_check(producer, asked, message, connection));
    Answer::Taken
}

async fn answer_check(
    producer: Arc<producer::ProducerCore>,
    asked: CheckTransactionStateRequestHeader,
    message: MessageExt,
    connection: Connection,
) {
    let unique_id = message.property(property::UNIQ_KEY).map_or_else(|| message.msg_id(), str::to_owned);
    let state = producer.check(message).await;
    let answer = producer::check_answer(&producer.group, &asked, &unique_id, state);
    // The same connection: that is where the broker waits for it.
    let remoting = &producer.client.inner.remoting;
    if let Err(error) = remoting.invoke_oneway_on(&connection, answer) {
        tracing::warn!(%error, unique_id, "the answer to a transaction check was lost; the broker asks again");
    }
}

/// 40: a member came or went.
fn members_changed(client: &Arc<Inner>, request: Request) -> Answer {
    if let Ok(changed) = header::<NotifyConsumerIdsChangedRequestHeader>(&request)
        && let Some(consumer) = client.groups.consumer(&changed.consumer_group)
    {
        consumer.want_rebalance();
    }
    Answer::Taken
}

/// 220: an administrator sets offsets.
fn reset_offsets(client: &Arc<Inner>, request: Request) -> Answer {
    if let Ok(reset) = header::<ResetOffsetRequestHeader>(&request)
        && let Some(consumer) = client.groups.consumer(&reset.group)
        && let Ok(table) = body::decode::<ResetOffsetBody>(&request.command.body)
    {
        client.spawn_callback(consumer::reset_offsets(consumer, reset.topic, table.offset_table));
    }
    Answer::Taken
}

/// 221: the offsets of a topic.
fn offsets(client: &Arc<Inner>, request: Request) -> Answer {
    let asked: GetConsumerStatusRequestHeader = match header(&request) {
        Ok(asked) => asked,
        Err(error) => return unreadable(&error),
    };
    let consumer = client.groups.consumer(&asked.group);
    let table = GetConsumerStatusBody {
        message_queue_table: consumer.map(|core| consumer::offsets(&core, &asked.topic)).unwrap_or_default(),
        ..GetConsumerStatusBody::default()
    };
    Answer::Now(Command::response(ResponseCode::SUCCESS).with_body(body::encode(&table)))
}

fn not_here(group: &str) -> Answer {
    let remark = format!("The Consumer Group <{group}> not exist in this consumer");
    Answer::Now(Command::error(ResponseCode::SYSTEM_ERROR, remark))
}

/// 307: how a consumer is.
fn running_info(client: &Arc<Inner>, request: Request) -> Answer {
    let asked: GetConsumerRunningInfoRequestHeader = match header(&request) {
        Ok(asked) => asked,
        Err(error) => return unreadable(&error),
    };
    let Some(consumer) = client.groups.consumer(&asked.consumer_group) else {
        return not_here(&asked.consumer_group);
    };
    let info = consumer::running_info(&consumer);
    Answer::Now(Command::response(ResponseCode::SUCCESS).with_body(body::encode(&info)))
}

/// 309: hand this message to the handler.
fn consume_directly(client: &Arc<Inner>, request: Request) -> Answer {
    let asked: ConsumeMessageDirectlyResultRequestHeader = match header(&request) {
        Ok(asked) => asked,
        Err(error) => return unreadable(&error),
    };
    let Some(consumer) = client.groups.consumer(&asked.consumer_group) else {
        return not_here(&asked.consumer_group);
    };
    let Some(mut message) = message(client, &request) else {
        return Answer::Now(Command::error(ResponseCode::SYSTEM_ERROR, "the message cannot be read"));
    };
    message.broker_name = asked.broker_name.unwrap_or_default();
    let message = consumer::with_original_topic(message, &consumer);
    Answer::later(run_directly(consumer, message))
}

async fn run_directly(consumer: Arc<PushCore>, message: MessageExt) -> Command {
    let result = consumer::consume_directly(&consumer, message).await;
    Command::response(ResponseCode::SUCCESS).with_body(body::encode(&result))
}

/// 326: a reply. One that nobody waits for any more is answered like the others.
fn reply(client: &Arc<Inner>, request: Request) -> Answer {
    match producer::read_reply(&request.command, client.options.max_decompressed) {
        Some(reply) => {
            client.replies.arrived(reply);
            Answer::Now(Command::response(ResponseCode::SUCCESS))
        }
        None => Answer::Now(Command::error(ResponseCode::SYSTEM_ERROR, "process reply message fail")),
    }
}

/// The message in the body of a request.
fn message(client: &Inner, request: &Request) -> Option<MessageExt> {
    let record = RecordView::parse(&request.command.body);
    let record =
        record.map_err(|error| tracing::warn!(%error, "a broker sent a message that cannot be read")).ok()?;
    let mut message = MessageExt::from_record(record);
    let decompressed = message.decompress(client.options.max_decompressed);
    decompressed
        .map_err(|error| tracing::warn!(%error, "a broker sent a body that cannot be decompressed"))
        .ok()?;
    Some(message)
}

//! The door for requests: which code is decided by what.

use std::sync::Arc;

use rocketwire_protocol::{Command, RequestCode, ResponseCode};
use rocketwire_remoting::{Answer, Processor, Request, Responder};

use crate::{
    admin, back,
    call::{Call, Disk, Plan, Refused, Stop},
    client,
    creation::Wanted,
    offset, order,
    overload::{wait_limit, waited_too_long},
    pull, query, relay, reply, send,
    shared::Shared,
    timer, transaction,
};

/// Serves every code of [`CODES`]. All of it is made for an inline lane.
pub(crate) struct BrokerProcessor {
    pub(crate) shared: Arc<Shared>,
    pub(crate) writing: Writing,
}

/// When a message goes from memory to the log.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Writing {
    /// The store's writer is woken for it.
    AtOnce,
    /// Whoever ends the turn that the message came with sees to it, for all of the turn's messages.
    AfterTurn,
}

/// What the broker serves.
pub(crate) const CODES: &[RequestCode] = &[
    RequestCode::SEND_MESSAGE,
    RequestCode::SEND_MESSAGE_V2,
    RequestCode::SEND_BATCH_MESSAGE,
    RequestCode::SEND_REPLY_MESSAGE,
    RequestCode::SEND_REPLY_MESSAGE_V2,
    RequestCode::RECALL_MESSAGE,
    RequestCode::PULL_MESSAGE,
    RequestCode::LITE_PULL_MESSAGE,
    RequestCode::QUERY_MESSAGE,
    RequestCode::VIEW_MESSAGE_BY_ID,
    RequestCode::CONSUMER_SEND_MSG_BACK,
    RequestCode::END_TRANSACTION,
    RequestCode::RESUME_CHECK_HALF_MESSAGE,
    RequestCode::QUERY_CONSUMER_OFFSET,
    RequestCode::UPDATE_CONSUMER_OFFSET,
    RequestCode::SEARCH_OFFSET_BY_TIMESTAMP,
    RequestCode::GET_MAX_OFFSET,
    RequestCode::GET_MIN_OFFSET,
    RequestCode::GET_EARLIEST_MSG_STORETIME,
    RequestCode::HEART_BEAT,
    RequestCode::UNREGISTER_CLIENT,
    RequestCode::CHECK_CLIENT_CONFIG,
    RequestCode::GET_CONSUMER_LIST_BY_GROUP,
    RequestCode::LOCK_BATCH_MQ,
    RequestCode::UNLOCK_BATCH_MQ,
    RequestCode::UPDATE_AND_CREATE_TOPIC,
    RequestCode::UPDATE_AND_CREATE_TOPIC_LIST,
    RequestCode::DELETE_TOPIC_IN_BROKER,
    RequestCode::GET_TOPIC_CONFIG,
    RequestCode::GET_ALL_TOPIC_CONFIG,
    RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP,
    RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST,
    RequestCode::GET_ALL_SUBSCRIPTIONGROUP_CONFIG,
    RequestCode::GET_SUBSCRIPTIONGROUP_CONFIG,
    RequestCode::DELETE_SUBSCRIPTIONGROUP,
    RequestCode::GET_ALL_CONSUMER_OFFSET,
    RequestCode::GET_ALL_DELAY_OFFSET,
    RequestCode::GET_BROKER_HA_STATUS,
    RequestCode::RESET_MASTER_FLUSH_OFFSET,
    RequestCode::GET_BROKER_EPOCH_CACHE,
    RequestCode::SET_MESSAGE_REQUEST_MODE,
    RequestCode::GET_COLD_DATA_FLOW_CTR_INFO,
    RequestCode::GET_BROKER_CONFIG,
    RequestCode::UPDATE_BROKER_CONFIG,
    RequestCode::GET_BROKER_RUNTIME_INFO,
    RequestCode::GET_TOPIC_STATS_INFO,
    RequestCode::GET_CONSUMER_CONNECTION_LIST,
    RequestCode::GET_PRODUCER_CONNECTION_LIST,
    RequestCode::GET_ALL_PRODUCER_INFO,
    RequestCode::GET_CONSUME_STATS,
    RequestCode::QUERY_TOPIC_CONSUME_BY_WHO,
    RequestCode::QUERY_TOPICS_BY_CONSUMER,
    RequestCode::QUERY_SUBSCRIPTION_BY_CONSUMER,
    RequestCode::QUERY_CONSUME_TIME_SPAN,
    RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_BROKER,
    RequestCode::CLONE_GROUP_OFFSET,
    RequestCode::QUERY_CORRECTION_OFFSET,
    RequestCode::UPDATE_AND_GET_GROUP_FORBIDDEN,
    RequestCode::VIEW_BROKER_STATS_DATA,
    RequestCode::CLEAN_EXPIRED_CONSUMEQUEUE,
    RequestCode::CLEAN_UNUSED_TOPIC,
    RequestCode::DELETE_EXPIRED_COMMITLOG,
    RequestCode::QUERY_CONSUME_QUEUE,
    RequestCode::GET_BROKER_CONSUME_STATS,
    RequestCode::INVOKE_BROKER_TO_RESET_OFFSET,
    RequestCode::INVOKE_BROKER_TO_GET_CONSUMER_STATUS,
    RequestCode::GET_CONSUMER_RUNNING_INFO,
    RequestCode::CONSUME_MESSAGE_DIRECTLY,
];

/// What Apache's broker can do and this one cannot, so that tools can say why.
pub(crate) const WITHOUT: &[(RequestCode, &str)] = &[
    (RequestCode::QUERY_ASSIGNMENT, "this broker has no POP; consume by pull, as with clientRebalance=true"),
    (RequestCode::UPDATE_AND_CREATE_STATIC_TOPIC, "there are no static topics: a queue stays at its broker"),
    (RequestCode::UPDATE_COLD_DATA_FLOW_CTR_CONFIG, "who reads old messages is not slowed down"),
    (RequestCode::REMOVE_COLD_DATA_FLOW_CTR_CONFIG, "who reads old messages is not slowed down"),
    (RequestCode::SET_COMMITLOG_READ_MODE, "the log is not mapped into memory"),
];

impl Processor for BrokerProcessor {
    fn process(&self, request: Request) -> Answer {
        let call = Call { command: &request.command, connection: request.connection() };
        match plan(&self.shared, call, Disk::Avoid) {
            Ok(Plan::Answer(response)) => Answer::Now(response),
            Ok(plan) => {
                let (command, responder) = request.into_responder();
                execute(&self.shared, plan, command, responder, self.writing);
                Answer::Taken
            }
            Err(Stop::Refused(refused)) => Answer::Now(refusal(&self.shared, &request.command, refused)),
            Err(stop) => {
                let (command, responder) = request.into_responder();
                stopped(&self.shared, stop, command, responder);
                Answer::Taken
            }
        }
    }
}

/// Goes on with a request whose pass ended without a plan.
fn stopped(shared: &Arc<Shared>, stop: Stop, command: Command, responder: Responder) {
    match stop {
        Stop::Refused(refused) => responder.send(refusal(shared, &command, refused)),
        Stop::NeedsDisk => from_disk(shared, command, responder),
        Stop::NeedsTopic(wanted) => create_first(shared, *wanted, command, responder),
    }
}

/// Decides again, when what the request needs is saved.
fn create_first(shared: &Arc<Shared>, wanted: Wanted, command: Command, responder: Responder) {
    let (patience, on_thread) = (wait_limit(command.request_code()), Arc::clone(shared));
    let done = move |created: Result<(), Stop>| {
        let connection = responder.connection().clone();
        let call = Call { command: &command, connection: &connection };
        match created.and_then(|()| plan(&on_thread, call, Disk::Avoid)) {
            Ok(plan) => execute(&on_thread, plan, command, responder, Writing::AtOnce),
            Err(stop) => stopped(&on_thread, stop, command, responder),
        }
    };
    shared.creations.add(wanted, patience, Box::new(done));
}

/// Decides again, on a thread that may wait.
fn from_disk(shared: &Arc<Shared>, command: Command, responder: Responder) {
    let Some(slot) = shared.blocking.slot() else {
        let refused = pull::too_many_reads();
        responder.send(refusal(shared, &command, refused));
        return;
    };
    let shared = Arc::clone(shared);
    let since = shared.now();
    slot.run(move || {
        let waited = shared.now().saturating_sub(since);
        if waited > wait_limit(command.request_code()) {
            let refused = waited_too_long(waited, shared.blocking.running());
            responder.send(refusal(&shared, &command, refused));
            return;
        }
        let connection = responder.connection().clone();
        let call = Call { command: &command, connection: &connection };
        match plan(&shared, call, Disk::Allowed) {
            Ok(plan) => execute(&shared, plan, command, responder, Writing::AtOnce),
            Err(Stop::NeedsDisk) => responder.send(refusal(&shared, &command, pull::too_many_reads())),
            Err(stop) => stopped(&shared, stop, command, responder),
        }
    });
}

fn execute(shared: &Arc<Shared>, plan: Plan, command: Command, responder: Responder, writing: Writing) {
    match plan {
        Plan::Answer(response) => responder.send(response),
        Plan::Silence => drop(responder),
        Plan::Send(plan) => send::append(shared, plan, command, responder, writing),
        Plan::Park(pull) => pull::park(shared, *pull, responder),
        Plan::TakeOver(serve) => serve(command, responder),
    }
}

fn refusal(shared: &Shared, command: &Command, refused: Refused) -> Command {
    if send::is_send(command.request_code()) { send::refusal(shared, refused) } else { refused.into() }
}

/// The codes of the POP family as they arrive in a binary header, which has 16 bits for them.
pub(crate) const CUT_POP_CODES: std::ops::RangeInclusive<i32> = 3442..=3448;
pub(crate) const CUT_BATCH_ACK: i32 = 3543;
const CUT_OFF: i32 = 3 << 16;

/// What a code of the POP family was before it was cut.
fn whole_pop_code(code: RequestCode) -> Option<i32> {
    (CUT_POP_CODES.contains(&code.0) || code.0 == CUT_BATCH_ACK).then_some(code.0 + CUT_OFF)
}

fn plan(shared: &Arc<Shared>, call: Call<'_>, disk: Disk) -> Result<Plan, Stop> {
    match call.command.request_code() {
        RequestCode::SEND_MESSAGE | RequestCode::SEND_MESSAGE_V2 | RequestCode::SEND_BATCH_MESSAGE => {
            send::plan(shared, call, disk)
        }
        RequestCode::PULL_MESSAGE | RequestCode::LITE_PULL_MESSAGE => pull::plan(shared, call, disk),
        RequestCode::SEND_REPLY_MESSAGE | RequestCode::SEND_REPLY_MESSAGE_V2 => {
            reply::plan(shared, call, disk)
        }
        RequestCode::UPDATE_CONSUMER_OFFSET => offset::update(shared, call),
        RequestCode::QUERY_CONSUMER_OFFSET => offset::query(shared, call),
        RequestCode::SEARCH_OFFSET_BY_TIMESTAMP => offset::search(shared, call, disk),
        RequestCode::GET_MAX_OFFSET => offset::max(shared, call),
        RequestCode::GET_MIN_OFFSET => offset::min(shared, call),
        RequestCode::GET_EARLIEST_MSG_STORETIME => offset::earliest(shared, call, disk),
        RequestCode::VIEW_MESSAGE_BY_ID => query::by_place(shared, call, disk),
        RequestCode::QUERY_MESSAGE => query::by_key(shared, call, disk),
        RequestCode::HEART_BEAT => client::heartbeat(shared, call, disk),
        RequestCode::UNREGISTER_CLIENT => client::unregister(shared, call),
        RequestCode::CHECK_CLIENT_CONFIG => client::check_config(shared, call),
        RequestCode::GET_CONSUMER_LIST_BY_GROUP => client::members(shared, call),
        RequestCode::LOCK_BATCH_MQ => order::lock(shared, call),
        RequestCode::UNLOCK_BATCH_MQ => order::unlock(shared, call),
        RequestCode::CONSUMER_SEND_MSG_BACK => back::plan(shared, call, disk),
        RequestCode::END_TRANSACTION => transaction::end(shared, call, disk),
        RequestCode::RESUME_CHECK_HALF_MESSAGE => transaction::resume(shared, call, disk),
        RequestCode::RECALL_MESSAGE => timer::recall(shared, call),
        RequestCode::INVOKE_BROKER_TO_RESET_OFFSET => admin::reset_offset(shared, call, disk),
        RequestCode::GET_CONSUMER_RUNNING_INFO => relay::running_info(shared, call),
        RequestCode::CONSUME_MESSAGE_DIRECTLY => relay::consume_directly(shared, call, disk),
        RequestCode::INVOKE_BROKER_TO_GET_CONSUMER_STATUS => relay::consumer_status(shared, call),
        code => admin::plan(shared, call, disk).unwrap_or_else(|| {
            let reason = WITHOUT.iter().find(|(without, _)| *without == code).map(|(_, reason)| reason);
            let remark = match (whole_pop_code(code), reason) {
                (Some(whole), _) => format!(
                    " request type {whole} not supported: this broker has no POP (the binary header has cut the \
                     code to {}); consume by pull, as with clientRebalance=true",
                    code.0
                ),
                (None, Some(reason)) => format!(" request type {} not supported: {reason}", code.0),
                (None, None) => format!(" request type {} not supported", code.0),
            };
            Err(Refused::new(ResponseCode::REQUEST_CODE_NOT_SUPPORTED, remark).into())
        }),
    }
}

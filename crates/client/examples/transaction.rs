//! A message that is delivered if, and only if, local work succeeded.
//!
//! `cargo run --example transaction -- 127.0.0.1:9876`, with a name server and a broker running.
#![allow(clippy::print_stdout)] // an example talks

use std::{
    collections::HashMap,
    error::Error,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rocketwire::{Client, Message, MessageExt, TransactionState};

/// What a database would know: which order is booked.
#[derive(Clone, Default)]
struct Orders(Arc<Mutex<HashMap<String, bool>>>);

impl Orders {
    fn book(&self, order: &str, works: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(order.to_owned(), works);
    }

    fn state(&self, order: &str) -> TransactionState {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).get(order) {
            Some(true) => TransactionState::Commit,
            Some(false) => TransactionState::Rollback,
            None => TransactionState::Unknown,
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let name_servers = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9876".to_owned());
    let client = Client::builder().name_servers(&name_servers).build()?;
    let orders = Orders::default();

    // A broker that does not hear the outcome asks; the answer must come from what is stored, not from memory.
    let known = orders.clone();
    let check = move |message: MessageExt| {
        let known = known.clone();
        async move { known.state(message.keys().next().unwrap_or_default()) }
    };
    let producer = client.producer("example-orders").checker(check).build()?;

    for (order, works) in [("order-1", true), ("order-2", false)] {
        let message = Message::new("ExampleTopic", format!("{order} is booked")).with_key(order);
        let result = producer
            .send_in_transaction(message, async |_| {
                orders.book(order, works);
                orders.state(order)
            })
            .await?;
        println!("{order}: {:?}", result.state);
    }
    client.close(Duration::from_secs(5)).await;
    Ok(())
}

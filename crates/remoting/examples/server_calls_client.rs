//! A server that asks its clients over the connections that they opened:
//! `cargo run -p rocketwire-remoting --example server_calls_client`.

#![allow(clippy::print_stdout)] // an example talks to people

use std::time::Duration;

use rocketwire_protocol::{Command, RequestCode, ResponseCode};
use rocketwire_remoting::{ClientOptions, Lane, RemotingClient, Router, Server, ServerOptions, processor_fn};

const WHO_ARE_YOU: RequestCode = RequestCode(9002);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::bind("127.0.0.1:0", Router::new(), ServerOptions::default()).await?;
    let addr = server.local_addr().to_string();

    let mut clients = Vec::new();
    for name in ["alice", "bob"] {
        let answer = processor_fn(move |_| Command::response(ResponseCode::SUCCESS).with_body(name).into());
        let router = Router::new().route(WHO_ARE_YOU, answer, Lane::inline());
        let client = RemotingClient::new(ClientOptions::default(), router);
        client.connect(&addr, Duration::from_secs(3)).await?;
        clients.push(client);
    }
    while server.connections().len() < clients.len() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for connection in server.connections() {
        let answer = connection.invoke(Command::request(WHO_ARE_YOU), Duration::from_secs(3)).await?;
        println!("{} is {}", connection.remote_addr(), String::from_utf8_lossy(&answer.body));
    }
    Ok(())
}

//! An echo server and a client in one process: `cargo run -p rocketwire-remoting --example echo`.

#![allow(clippy::print_stdout)] // an example talks to people

use std::time::Duration;

use rocketwire_protocol::{Command, RequestCode, ResponseCode};
use rocketwire_remoting::{ClientOptions, Lane, RemotingClient, Router, Server, ServerOptions, processor_fn};

const ECHO: RequestCode = RequestCode(9001);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let echo = processor_fn(|request| {
        Command::response(ResponseCode::SUCCESS).with_body(request.command.body).into()
    });
    let router = Router::new().route(ECHO, echo, Lane::inline());
    let server = Server::bind("127.0.0.1:0", router, ServerOptions::default()).await?;
    let addr = server.local_addr().to_string();

    let client = RemotingClient::new(ClientOptions::default(), Router::new());
    for text in ["hello", "world"] {
        let request = Command::request(ECHO).with_body(text);
        let answer = client.invoke(&addr, request, Duration::from_secs(3)).await?;
        println!("{} -> {}", text, String::from_utf8_lossy(&answer.body));
    }

    client.shutdown().await;
    server.shutdown(Duration::from_secs(1)).await;
    Ok(())
}

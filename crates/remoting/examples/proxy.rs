//! A pass-through proxy that prints what goes by, request and answer:
//! `cargo run -p rocketwire-remoting --example proxy -- 127.0.0.1:19876 127.0.0.1:9876`.
//! Without arguments it proxies an echo server of its own, once.

#![allow(clippy::print_stdout)] // an example talks to people

use std::{env, time::Duration};

use rocketwire_protocol::{Command, RequestCode, ResponseCode};
use rocketwire_remoting::{
    Answer, ClientOptions, Lane, RemotingClient, Router, Server, ServerOptions, processor_fn,
};

const TIMEOUT: Duration = Duration::from_secs(30);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = env::args().skip(1);
    if let (Some(listen), Some(target)) = (args.next(), args.next()) {
        let proxy = proxy(&listen, target).await?;
        println!("listening on {}", proxy.local_addr());
        return std::future::pending().await;
    }
    let upper = processor_fn(|request| {
        let body = request.command.body.to_ascii_uppercase();
        Command::response(ResponseCode::SUCCESS).with_body(body).into()
    });
    let router = Router::new().route(RequestCode(9001), upper, Lane::inline());
    let server = Server::bind("127.0.0.1:0", router, ServerOptions::default()).await?;
    let proxy = proxy("127.0.0.1:0", server.local_addr().to_string()).await?;

    let client = RemotingClient::new(ClientOptions::default(), Router::new());
    let request = Command::request(RequestCode(9001)).with_body("through the proxy");
    let answer = client.invoke(&proxy.local_addr().to_string(), request, Duration::from_secs(3)).await?;
    println!("{}", String::from_utf8_lossy(&answer.body));
    Ok(())
}

/// Passes every request on to `target` and its answer back; the fields go through as they are.
async fn proxy(listen: &str, target: String) -> Result<Server, Box<dyn std::error::Error>> {
    let upstream = RemotingClient::new(ClientOptions::default(), Router::new());
    let pass = processor_fn(move |request| {
        let (upstream, target) = (upstream.clone(), target.clone());
        Answer::later(async move {
            let request = request.command;
            println!("> {} {:?}, {} bytes", request.request_code(), request.fields, request.body.len());
            if request.is_oneway() {
                if let Err(error) = upstream.invoke_oneway(&target, request, TIMEOUT).await {
                    println!("! {error}");
                }
                // Nobody waits for it: it goes nowhere.
                return Command::response(ResponseCode::SUCCESS);
            }
            match upstream.invoke(&target, request, TIMEOUT).await {
                Ok(answer) => {
                    println!("< {} {:?}, {} bytes", answer.response_code(), answer.fields, answer.body.len());
                    answer
                }
                Err(error) => Command::error(ResponseCode::SYSTEM_ERROR, error.to_string()),
            }
        })
    });
    Ok(Server::bind(listen, Router::new().fallback(pass, Lane::inline()), ServerOptions::default()).await?)
}

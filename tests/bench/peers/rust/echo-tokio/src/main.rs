// SPDX-License-Identifier: Apache-2.0
//
// echo-tokio SOCKET [mt2] [value]: JSON-RPC, a line a message, on tokio's current-thread runtime (mt2: on two workers);
// params are borrowed as text that serde_json has checked (value: built as a document).
use serde::{Deserialize, Serialize};
use serde_json::{value::RawValue, Value};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Builder;

#[derive(Deserialize)]
struct Request<'a, Params> {
    jsonrpc: &'a str,
    #[serde(borrow)]
    id: &'a RawValue,
    method: &'a str,
    params: Params,
}

#[derive(Serialize)]
struct Response<'a, Params> {
    jsonrpc: &'a str,
    id: &'a RawValue,
    result: Params,
}

fn answer<'a, Params: Deserialize<'a> + Serialize>(line: &'a [u8], out: &mut Vec<u8>) -> io::Result<()> {
    let request: Request<Params> = serde_json::from_slice(line)?;
    if request.jsonrpc != "2.0" || request.method != "echo.echo" {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let response = Response { jsonrpc: "2.0", id: request.id, result: request.params };
    serde_json::to_writer(&mut *out, &response)?;
    out.push(b'\n');
    Ok(())
}

/// One write answers all that one read brought.
async fn serve(mut socket: UnixStream, value: bool) -> io::Result<()> {
    let mut input = Vec::with_capacity(65536);
    let mut out = Vec::with_capacity(65536);
    while socket.read_buf(&mut input).await? != 0 {
        let mut begin = 0;
        for line in input.split_inclusive(|byte| *byte == b'\n') {
            if line.last() != Some(&b'\n') {
                break;
            }
            begin += line.len();
            if value {
                answer::<Value>(line, &mut out)?;
            } else {
                answer::<&RawValue>(line, &mut out)?;
            }
        }
        input.drain(..begin);
        if input.len() == input.capacity() {
            input.reserve(input.len());
        }
        socket.write_all(&out).await?;
        out.clear();
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().collect();
    let has = |word: &str| words.iter().skip(2).any(|w| w == word);
    let value = has("value");
    let runtime = if has("mt2") {
        Builder::new_multi_thread().worker_threads(2).enable_io().build()?
    } else {
        Builder::new_current_thread().enable_io().build()?
    };
    runtime.block_on(async {
        tokio::spawn(async move {
            let listener = UnixListener::bind(&words[1])?;
            loop {
                let (socket, _) = listener.accept().await?;
                tokio::spawn(serve(socket, value));
            }
        })
        .await?
    })
}

//! One connection through the proxy.

use std::collections::{HashMap, HashSet};
use std::io;
use std::time::Duration;

use amq_protocol::protocol::{AMQPClass, basic, channel, connection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::frames::{Assembler, Unit, empty_message, method};
use super::trail::Trail;
use super::{Deed, Plan};

/// An end that does not close in return is left.
const GOOD_BYE: Duration = Duration::from_secs(5);
const NO_ROUTE: u16 = 312;
const CONNECTION_FORCED: u16 = 320;
const PRECONDITION_FAILED: u16 = 406;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    ToServer,
    ToClient,
}

/// How a connection goes on.
enum Then {
    On,
    Cut,
    Frozen,
}

struct Wire<'a> {
    client: TcpStream,
    server: TcpStream,
    plan: &'a Plan,
    trail: Trail,
    /// What the client is told as soon as the broker has agreed, by channel.
    owed: HashMap<u16, Vec<u8>>,
    /// Channels that are closed for the broker, and not yet for the client: what it still says there is lost.
    deaf: HashSet<u16>,
}

/// Carries both ways until either end is gone.
pub async fn carry(client: TcpStream, server: TcpStream, plan: &Plan) {
    let (trail, owed, deaf) = (Trail::default(), HashMap::new(), HashSet::new());
    let mut wire = Wire { client, server, plan, trail, owed, deaf };
    // An end that is gone is the end of both; nobody is to be told.
    let ended = wire.run().await.unwrap_or(Then::Cut);
    if let Then::Frozen = ended {
        let _gone = drain(&mut wire.client).await;
    }
    let _gone = wire.client.shutdown().await;
    let _gone = wire.server.shutdown().await;
    // Not merely dropped: with bytes unread, that would take back what was just written.
    let both = async { tokio::join!(drain(&mut wire.client), drain(&mut wire.server)) };
    let _late = timeout(GOOD_BYE, both).await;
}

async fn drain(stream: &mut TcpStream) -> io::Result<()> {
    let mut unread = [0; 4096];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

impl Wire<'_> {
    async fn run(&mut self) -> io::Result<Then> {
        self.client.set_nodelay(true)?;
        self.server.set_nodelay(true)?;
        let (mut said_by_client, mut said_by_server) = (Assembler::default(), Assembler::default());
        let (mut from_client, mut from_server) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
        loop {
            let (way, length) = tokio::select! {
                length = self.client.read(&mut from_client) => (Way::ToServer, length?),
                length = self.server.read(&mut from_server) => (Way::ToClient, length?),
            };
            if length == 0 {
                return Ok(Then::Cut);
            }
            let (assembler, bytes) = match way {
                Way::ToServer => (&mut said_by_client, &from_client[..length]),
                Way::ToClient => (&mut said_by_server, &from_server[..length]),
            };
            assembler.push(bytes);
            while let Some(unit) = assembler.take() {
                match self.pass(way, unit).await? {
                    Then::On => {}
                    end @ (Then::Cut | Then::Frozen) => return Ok(end),
                }
            }
        }
    }

    async fn pass(&mut self, way: Way, unit: Unit) -> io::Result<Then> {
        if self.is_answer_to_us(way, &unit).await? {
            return Ok(Then::On);
        }
        let point = match way {
            Way::ToServer => self.trail.client_says(&unit),
            Way::ToClient => self.trail.server_says(&unit),
        };
        match self.plan.meets(point) {
            None => self.write(way, &unit.bytes).await,
            Some(deed) => self.strike(deed, way, unit).await,
        }
    }

    async fn write(&mut self, way: Way, bytes: &[u8]) -> io::Result<Then> {
        match way {
            Way::ToServer => self.server.write_all(bytes).await?,
            Way::ToClient => self.client.write_all(bytes).await?,
        }
        Ok(Then::On)
    }

    async fn strike(&mut self, deed: Deed, way: Way, unit: Unit) -> io::Result<Then> {
        match deed {
            Deed::CutBefore => return Ok(Then::Cut),
            Deed::Swallow => return Ok(Then::On),
            Deed::Freeze => return Ok(Then::Frozen),
            Deed::Stall(time) => sleep(time).await,
            Deed::Refuse => return self.write(way, &method(unit.channel, refusal(&unit))).await,
            Deed::Return => self.client.write_all(&empty_message(unit.channel, returned())).await?,
            Deed::CutAfter | Deed::CancelConsumer | Deed::CloseChannel | Deed::CloseConnection => {}
        }
        self.write(way, &unit.bytes).await?;
        match deed {
            Deed::CutAfter => return Ok(Then::Cut),
            Deed::CancelConsumer => self.cancel_consumer(unit.channel).await?,
            Deed::CloseChannel => self.close_channel(unit.channel).await?,
            Deed::CloseConnection => {
                self.client.write_all(&method(0, connection_close())).await?;
                return Ok(Then::Cut);
            }
            Deed::CutBefore | Deed::Swallow | Deed::Freeze | Deed::Stall(_) | Deed::Refuse | Deed::Return => {}
        }
        Ok(Then::On)
    }

    async fn cancel_consumer(&mut self, channel: u16) -> io::Result<()> {
        let consumer = self.trail.consumer(channel).expect("a consumer on the channel");
        let cancel = |nowait| {
            let cancel = basic::Cancel { consumer_tag: consumer.as_str().into(), nowait };
            method(channel, AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)))
        };
        self.owed.insert(channel, cancel(true));
        self.server.write_all(&cancel(false)).await
    }

    async fn close_channel(&mut self, channel: u16) -> io::Result<()> {
        let close = channel::Close {
            reply_code: PRECONDITION_FAILED,
            reply_text: "PRECONDITION_FAILED - by the test".into(),
            class_id: 0,
            method_id: 0,
        };
        let close = method(channel, AMQPClass::Channel(channel::AMQPMethod::Close(close)));
        self.deaf.insert(channel);
        self.owed.insert(channel, close.clone());
        self.server.write_all(&close).await
    }

    /// Takes in what is said to the proxy itself, and what is said on a channel that is closed already.
    async fn is_answer_to_us(&mut self, way: Way, unit: &Unit) -> io::Result<bool> {
        let closed = matches!(unit.method, Some(AMQPClass::Channel(channel::AMQPMethod::CloseOk(_))));
        let cancelled = matches!(unit.method, Some(AMQPClass::Basic(basic::AMQPMethod::CancelOk(_))));
        match way {
            Way::ToClient if closed || cancelled => match self.owed.remove(&unit.channel) {
                Some(owed) => {
                    self.client.write_all(&owed).await?;
                    Ok(true)
                }
                None => {
                    if closed {
                        self.trail.closed(unit.channel);
                    }
                    Ok(false)
                }
            },
            Way::ToClient => Ok(false),
            Way::ToServer => {
                let is_deaf = self.deaf.contains(&unit.channel);
                if closed {
                    self.deaf.remove(&unit.channel);
                    self.trail.closed(unit.channel);
                }
                Ok(is_deaf)
            }
        }
    }
}

/// For the message that this unit confirms.
fn refusal(unit: &Unit) -> AMQPClass {
    let Some(AMQPClass::Basic(basic::AMQPMethod::Ack(ack))) = &unit.method else { panic!("only a confirm is refused") };
    let nack = basic::Nack { delivery_tag: ack.delivery_tag, multiple: ack.multiple, requeue: false };
    AMQPClass::Basic(basic::AMQPMethod::Nack(nack))
}

fn returned() -> AMQPClass {
    AMQPClass::Basic(basic::AMQPMethod::Return(basic::Return {
        reply_code: NO_ROUTE,
        reply_text: "NO_ROUTE".into(),
        exchange: "".into(),
        routing_key: "".into(),
    }))
}

fn connection_close() -> AMQPClass {
    AMQPClass::Connection(connection::AMQPMethod::Close(connection::Close {
        reply_code: CONNECTION_FORCED,
        reply_text: "CONNECTION_FORCED - by the test".into(),
        class_id: 0,
        method_id: 0,
    }))
}

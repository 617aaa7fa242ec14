//! `/live`: one client's topics over one WebSocket. What the client says is done one after the other, in its order;
//! meanwhile its topics go on.

mod answer;
mod opening;
mod request;
mod topics;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};

use openline::tokio::WebSocket;
use openline::{CloseCode, Error, Message, Prepared};
use openline_live::{Delivery, Subscriber, pump};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::message::Item;
use crate::site::Site;
use answer::{error, hello};
pub(crate) use answer::{joined_text, missed_text};
use opening::Verb;
use request::Request;
pub(crate) use request::after;
use topics::Topics;

/// Serves a client until its connection is over.
///
/// # Errors
///
/// How the connection failed. Its end is no error.
pub async fn serve<S>(socket: WebSocket<S>, site: Site) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = site.new_name();
    let topics = Topics::new(site.clone(), name.clone());
    let mut client = Client { socket, subscriber: Subscriber::new(), topics, waiting: VecDeque::new() };
    client.socket.feed(&hello(&name)).await?;
    let opening = client.topics.opening().clone();
    let mut turn_to_go = pin!(site.turn_to_go());
    let mut doing: Option<Doing> = None;
    loop {
        while doing.is_none()
            && let Some(said) = client.waiting.pop_front()
        {
            doing = client.begin(said).await?;
        }
        while let Some(answer) = client.topics.take_overdue(&mut client.subscriber) {
            client.answer(answer).await?;
        }
        let Client { socket, subscriber, topics, waiting, .. } = &mut client;
        tokio::select! {
            biased;
            answer = async { doing.as_mut().expect("there is one").await }, if doing.is_some() => {
                doing = None;
                client.answer(answer).await?;
            }
            () = opening.overdue() => {}
            () = &mut turn_to_go => return client.socket.close(CloseCode::SERVICE_RESTART, "").await,
            said = pump(socket, subscriber, |delivery| encode(topics, delivery)), if waiting.len() < MOST_WAITING => {
                match said? {
                    Some(said) => client.waiting.push_back(said),
                    None => return Ok(()),
                }
            }
        }
    }
}

/// What is being done for the client, and what it will be told then.
type Doing = Pin<Box<dyn Future<Output = Prepared> + Send>>;

struct Client<S> {
    socket: WebSocket<S>,
    subscriber: Subscriber<Item>,
    topics: Topics,
    /// What the client has said and nobody has looked at.
    waiting: VecDeque<Message<'static>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Does what can be done at once, and returns what takes longer.
    async fn begin(&mut self, said: Message<'static>) -> Result<Option<Doing>, Error> {
        let Some(text) = said.as_text() else {
            self.answer(error(&[], "a message must be text", false)).await?;
            return Ok(None);
        };
        let answer = match Request::parse(text) {
            Err(wrong) => Some(wrong),
            Ok(Request::Join(join)) => self.topics.join(&mut self.subscriber, &join),
            Ok(Request::Leave(topic)) => self.topics.leave(&mut self.subscriber, &topic),
            Ok(Request::Watch(topic)) => self.topics.watch(&mut self.subscriber, &topic),
            Ok(Request::Unwatch(topic)) => {
                self.topics.unwatch(&mut self.subscriber, &topic);
                None
            }
            Ok(Request::Say(say)) => match self.topics.say(say) {
                Ok(doing) => return Ok(Some(doing)),
                Err(wrong) => Some(wrong),
            },
            Ok(Request::Bid(bid)) => return Ok(Some(self.topics.bid(bid))),
        };
        if let Some(answer) = answer {
            self.answer(answer).await?;
        }
        Ok(None)
    }

    /// Queues an answer, if the client is still there.
    async fn answer(&mut self, answer: Prepared) -> Result<(), Error> {
        openline_live::answer(&mut self.socket, &mut self.subscriber, &answer).await
    }
}

fn encode(topics: &mut Topics, delivery: Delivery<Item>) -> Option<Prepared> {
    match delivery {
        Delivery::Message(item) => Some(item.prepared().clone()),
        Delivery::Joined { topic, at, whole } => {
            topics.has_begun(Verb::Join, &topic);
            Some(answer::joined(&topic, at, whole))
        }
        Delivery::Missed(gap) => Some(answer::missed(&gap.topic, gap.count)),
        Delivery::Left(topic) => {
            topics.has_left(&topic);
            Some(answer::left_by_lag(&topic))
        }
        Delivery::Here { topic, names, more } => {
            topics.has_begun(Verb::Watch, &topic);
            Some(answer::here(&topic, &names, more))
        }
        Delivery::Changed { topic, joined, gone } => Some(answer::changed(&topic, &joined, &gone)),
        _ => None,
    }
}

/// How many messages of a client wait until it is not heard any more.
const MOST_WAITING: usize = 32;

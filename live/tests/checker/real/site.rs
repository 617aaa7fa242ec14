//! A site of real processes, as those who use it see it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openline::Message;
use openline::tokio::{Stream, WebSocket, connect};
use openline_live::{Lag, Position, PublishError, Start};
use tokio::time::{sleep, timeout};

use super::example;
use super::process::{self, Process, Server};
use crate::actors::notes::Notes;
use crate::actors::remote::Remote;
use crate::actors::speak::Speech;
use crate::actors::words::{Heard, name};
use crate::actors::{Connection, Site};
use crate::history::Words;
use crate::plan::Plan;
use crate::rng::Rng;

pub struct Machines {
    plan: Plan,
    notes: Notes,
    pub server: Server,
    program: PathBuf,
    /// By number; nothing while it is dead.
    nodes: Mutex<Vec<Option<Arc<Machine>>>>,
}

pub struct Machine {
    number: usize,
    address: String,
    pub process: Process,
}

impl Machines {
    pub fn new(plan: Plan, persists: bool) -> Machines {
        let nodes = Mutex::new(vec![None; plan.nodes]);
        Machines {
            nodes,
            plan,
            notes: Notes::new(),
            server: Server::new(persists),
            program: example::build("machines", "pump,redis"),
        }
    }

    pub fn node(&self, number: usize) -> Option<Arc<Machine>> {
        self.nodes.lock().unwrap()[number].clone()
    }

    pub fn living(&self) -> Vec<Arc<Machine>> {
        self.nodes.lock().unwrap().iter().flatten().cloned().collect()
    }

    /// Starts a node, unless it runs, as often as it takes: it ends if its Redis is away.
    pub async fn start(self: &Arc<Machines>, number: usize) {
        while self.node(number).is_none() {
            let site = Arc::clone(self);
            let url = format!("redis://127.0.0.1:{}", self.server.port);
            let start = move || process::node(&site.program, &url, site.plan.retain.messages);
            if let Ok(Some((process, address))) = tokio::task::spawn_blocking(start).await {
                let machine = Arc::new(Machine { number, address, process });
                self.nodes.lock().unwrap()[number].get_or_insert(machine);
            } else {
                sleep(Duration::from_millis(200)).await;
            }
        }
    }

    pub fn kill(&self, number: usize) {
        let node = self.nodes.lock().unwrap()[number].take();
        if let Some(node) = node {
            node.process.kill();
        }
    }

    /// Where a topic's log stands, as this node has it.
    pub async fn end(&self, node: &Arc<Machine>, topic: usize) -> Option<Position> {
        let mut client = self.connect(node, true).await?;
        client.join(topic, Start::Now, Lag::Skip);
        match timeout(Duration::from_secs(5), client.next()).await {
            Ok(Some(Heard::Joined { at, .. })) => Some(at),
            _ => None,
        }
    }
}

impl Site for Machines {
    type Node = Machine;
    type Connection = Remote;
    type Voice = Option<(String, WebSocket<Stream>)>;

    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn notes(&self) -> &Notes {
        &self.notes
    }

    fn some_node(&self, rng: &mut Rng) -> Option<Arc<Machine>> {
        let living = self.living();
        living.get(rng.below(living.len())).cloned()
    }

    fn number_of(&self, node: &Machine) -> usize {
        node.number
    }

    async fn connect(&self, node: &Arc<Machine>, _: bool) -> Option<Remote> {
        let socket = connect(&node.address).await.ok()?;
        Some(Remote::new(async { Some(socket) }))
    }

    async fn publish(
        &self,
        voice: &mut Self::Voice,
        node: &Arc<Machine>,
        speech: &Speech,
    ) -> Result<Position, PublishError> {
        if voice.as_ref().is_none_or(|(address, _)| *address != node.address) {
            // Nobody has heard it.
            let socket = connect(&node.address).await.map_err(|_| PublishError::Failed)?;
            *voice = Some((node.address.clone(), socket));
        }
        let Some((_, socket)) = voice else { return Err(PublishError::Failed) };
        let id = speech.id.map_or("-".to_owned(), |id| id.to_string());
        let expect = speech.expect.map_or("-".to_owned(), |at| at.to_string());
        // These nodes take a message for the same one if all of it is the same.
        let words = Words { attempt: 0, ..speech.words };
        let line = format!("say {} {id} {expect} {words}", name(speech.topic));
        let answer = async {
            socket.send(Message::from(line)).await.ok()?;
            socket.recv().await.ok()??.as_text().map(str::to_owned)
        };
        let Some(answer) = answer.await else {
            *voice = None;
            return Err(PublishError::Unknown);
        };
        let at = |text: &str| text.parse().expect("a position");
        match answer.split_once(' ') {
            Some(("said", text)) => Ok(at(text)),
            Some(("conflict", text)) => Err(PublishError::Conflict(at(text))),
            _ => Err(match &answer[..] {
                "taken" => PublishError::IdTaken,
                "failed" => PublishError::Failed,
                "unknown" => PublishError::Unknown,
                other => panic!("{other}"),
            }),
        }
    }

    /// Nobody says this at a socket.
    fn position(&self, _: &Machine, _: usize) -> Option<Position> {
        None
    }
}

impl Connection for Remote {
    fn join(&mut self, topic: usize, start: Start, lag: Lag) {
        Remote::join(self, topic, start, lag);
    }

    fn leave(&mut self, _: usize) -> bool {
        false
    }

    fn can_leave(&self) -> bool {
        false
    }

    async fn next(&mut self) -> Option<Heard> {
        Remote::next(self).await
    }
}

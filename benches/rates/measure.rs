//! [`rates`].

use std::time::{Duration, Instant};

use crate::clients::{Client, Error, Job, Kind};
use crate::sink::Sink;

const ROUNDS: usize = 5;

/// The median rate of each client that can. They take turns.
pub(crate) async fn rates(
    kinds: impl IntoIterator<Item = Kind>,
    sink: &Sink,
    job: &Job,
    round: Duration,
) -> Result<Vec<(Kind, f64)>, Error> {
    let mut runs = Vec::new();
    for kind in kinds.into_iter().filter(|kind| kind.can(&job.target)) {
        let mut client = Client::new(kind, job).await?;
        let messages = messages(&mut client, job, round).await?;
        runs.push(Run { kind, client, messages, rates: Vec::new() });
    }
    for _ in 0..ROUNDS {
        for run in &mut runs {
            run.round(sink).await?;
        }
    }
    Ok(runs.into_iter().map(|run| (run.kind, median(run.rates))).collect())
}

/// One client at work.
struct Run {
    kind: Kind,
    client: Client,
    messages: usize,
    rates: Vec<f64>,
}

impl Run {
    async fn round(&mut self, sink: &Sink) -> Result<(), Error> {
        let (before, begun) = (sink.seen(), Instant::now());
        self.client.send(self.messages).await?;
        self.rates.push(self.messages as f64 / begun.elapsed().as_secs_f64());
        let arrived = sink.seen().since(before).messages;
        let all = usize::try_from(arrived) == Ok(self.messages);
        if all {
            Ok(())
        } else {
            Err(format!("{}: {arrived} of {} arrived", self.kind, self.messages).into())
        }
    }
}

/// As many as a client delivers in a round; opens its connections.
async fn messages(client: &mut Client, job: &Job, round: Duration) -> Result<usize, Error> {
    let mut messages = job.connections;
    loop {
        let begun = Instant::now();
        client.send(messages).await?;
        let took = begun.elapsed();
        if took >= round / 4 {
            let fitting = messages as f64 * round.as_secs_f64() / took.as_secs_f64();
            return Ok((fitting as usize).max(job.connections));
        }
        messages *= 4;
    }
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_unstable_by(f64::total_cmp);
    rates[rates.len() / 2]
}

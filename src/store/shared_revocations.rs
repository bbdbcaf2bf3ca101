//! Revocations of several servers, in Redis: a hash of all of them, and beside it by number what changed last, which every
//! server asks for a few times a second. What it hears goes into its copy in memory, which requests read: a Redis that is
//! away refuses no token and forgets no revocation.
//!
//! A server that takes over for a Redis has another replication id, and may lack what was told last. Then everything is
//! heard again, and what is missing there is told again by each server that knows it. What was restored leaves a mark, so
//! that it is not missing.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::{Away, FOREVER, Mark, Name, Replicated, Revocations, Revoked};
use crate::clock::Clock;
use crate::observe::events;

/// The tag of what is kept, and its keys: revocations by name, names by the number of their last change, the last number,
/// names by their end.
const TAG: &str = "revoked";
const ALL: &str = "all";
const CHANGES: &str = "changes";
const NUMBER: &str = "number";
const ENDS: &str = "ends";
/// The version of all that servers keep in the Redis. It is here, because this is what they all look at all the time.
const SCHEMA: &str = "schema";
/// The version that this program writes. It understands those before it.
const VERSION: u64 = 1;
/// How long a server that hears nothing waits until it asks again.
const PAUSE: Duration = Duration::from_millis(200);
/// How long it may be unknown that a Redis is new.
const NOTED: Duration = Duration::from_secs(1);
/// How long a revocation may take from Redis into the copy here.
const HEARD: Duration = Duration::from_secs(1);
/// Changes that are asked for at once.
const CHUNK: usize = 1_000;
/// Revocations that are told at once.
const TOLD: usize = 100;
/// How long it is remembered that something was restored, in seconds: longer than a server may be cut off.
const RESTORED_SECS: i64 = 30 * 86_400;
/// The end of what does not end, as Lua knows numbers: 2^53 − 1.
const LUA_FOREVER: i64 = (1 << 53) - 1;
/// Revocations that are kept at most.
const ROOM: usize = 20_000_000;

/// Keeps revocations and numbers the changes; a revocation that is known never gets shorter. Removes some that have ended.
/// KEYS: revocations, changes by number, the last number, names by their end.
const REVOKE: &str = "
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', ARGV[1], 'LIMIT', 0, 1000)) do
  redis.call('HDEL', KEYS[1], name)
  redis.call('ZREM', KEYS[2], name)
  redis.call('ZREM', KEYS[4], name)
end
for i = 2, #ARGV, 4 do
  local name, application, at, ends = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  local known = redis.call('HGET', KEYS[1], name)
  if known then
    local known_at, known_ends, known_application = string.match(known, '^(%d+) (%d+) (.*)$')
    at, ends = math.max(at, tonumber(known_at)), math.max(ends, tonumber(known_ends))
    if application == '' then application = known_application end
  end
  redis.call('HSET', KEYS[1], name, string.format('%.0f %.0f %s', at, ends, application))
  redis.call('ZADD', KEYS[2], redis.call('INCR', KEYS[3]), name)
  redis.call('ZREM', KEYS[4], name)
  if ends < 9007199254740991 then redis.call('ZADD', KEYS[4], ends, name) end
end
";

/// Marks a revocation as restored: its end is 0. Whether it was in force.
const RESTORE: &str = "
local known = redis.call('HGET', KEYS[1], ARGV[1])
if not known then return 0 end
local at, ends, application = string.match(known, '^(%d+) (%d+) (.*)$')
if ends == '0' then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], at .. ' 0 ' .. application)
redis.call('ZADD', KEYS[2], redis.call('INCR', KEYS[3]), ARGV[1])
redis.call('ZADD', KEYS[4], ARGV[2], ARGV[1])
return 1
";

/// Until when a revocation of an application that was made at a second has to be remembered at least.
pub type Least = Box<dyn Fn(&str, i64) -> i64 + Send + Sync>;

/// What is heard, and who waits for it.
pub(super) struct Ear {
    /// The copy.
    pub(super) revoked: Revocations,
    least: Least,
    rounds: watch::Sender<u64>,
    ask: Notify,
}

/// How far a server has heard.
#[derive(Default)]
struct Position {
    number: i64,
    replication_id: Option<String>,
    /// What was heard again, where what is not among it has to be told again.
    heard: Option<BTreeSet<Name>>,
    /// What lives longer by now than Redis knows.
    longer: Vec<Revoked>,
}

impl fmt::Debug for Ear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ear").finish_non_exhaustive()
    }
}

impl Ear {
    pub(super) fn new(least: Least, max_staleness: Option<Duration>) -> Self {
        Self {
            revoked: Revocations::not_loaded(max_staleness),
            least,
            rounds: watch::Sender::default(),
            ask: Notify::new(),
        }
    }

    /// Returns when everything that is in Redis now is in the copy.
    async fn heard(&self) -> Result<(), Away> {
        let mut rounds = self.rounds.subscribe();
        // The round that is under way may have begun too early; the one after it has not.
        let enough = *rounds.borrow_and_update() + 2;
        let hear = async {
            while *rounds.borrow_and_update() < enough {
                self.ask.notify_one();
                rounds.changed().await.map_err(|_gone| Away)?;
            }
            Ok(())
        };
        timeout(HEARD, hear).await.map_err(|_elapsed| Away)?
    }
}

impl Replicated {
    /// Listens to what is revoked and restored, for ever. `unheard`: told now and then for how long nothing was heard.
    pub async fn follow(&self, clock: &dyn Clock, unheard: impl Fn(Duration)) -> Infallible {
        let (mut position, mut last, mut noted) = (Position::default(), Instant::now(), Instant::now());
        loop {
            let now = clock.now().unix_timestamp();
            if self.round(&mut position, now).await.is_ok() {
                last = Instant::now();
                self.ear.rounds.send_modify(|rounds| *rounds += 1);
            }
            unheard(last.elapsed());
            if noted.elapsed() >= NOTED {
                self.note_new(now).await;
                noted = Instant::now();
            }
            tokio::select! {
                () = self.ear.ask.notified() => {}
                () = sleep(PAUSE) => {}
            }
        }
    }

    pub(super) async fn tell_revoked(&self, revoked: &[Revoked], now: i64) -> Result<(), Away> {
        self.ear.revoked.has_room(revoked.len(), ROOM, now)?;
        self.write_revoked(revoked, now).await?;
        self.ear.heard().await
    }

    pub(super) async fn tell_restored(&self, name: Name, now: i64) -> Result<bool, Away> {
        let mut command = self.script(RESTORE);
        command.arg(name.as_slice()).arg(now.saturating_add(RESTORED_SECS));
        let restored: i64 = self.redis.durably(TAG, command).await?;
        self.ear.heard().await?;
        Ok(restored == 1)
    }

    async fn write_revoked(&self, revoked: &[Revoked], now: i64) -> Result<(), Away> {
        for some in revoked.chunks(TOLD) {
            let mut command = self.script(REVOKE);
            command.arg(now);
            for Revoked { name, application, mark } in some {
                command.arg(name.as_slice()).arg(application).arg(mark.at).arg(mark.until.min(LUA_FOREVER));
            }
            self.redis.durably::<()>(TAG, command).await?;
        }
        Ok(())
    }

    fn script(&self, script: &str) -> redis::Cmd {
        let mut command = redis::cmd("EVAL");
        command.arg(script).arg(4);
        for key in [ALL, CHANGES, NUMBER, ENDS] {
            command.arg(self.redis.tagged(TAG, key));
        }
        command
    }

    /// Hears what has changed since, all of it.
    async fn round(&self, position: &mut Position, now: i64) -> Result<(), Away> {
        loop {
            let (replication_id, number, changed) = self.changes(position.number).await?;
            // Another server, or one that was emptied.
            if position.replication_id.as_ref() != Some(&replication_id) || number < position.number {
                let again = position.replication_id.is_some() || self.ear.revoked.is_loaded();
                let heard = again.then(BTreeSet::new);
                *position = Position { replication_id: Some(replication_id), heard, ..Position::default() };
                continue;
            }
            let Some((_, last)) = changed.last() else { break };
            let last = *last;
            self.apply(changed, position, now).await?;
            position.number = last;
        }
        self.write_revoked(&position.longer, now).await?;
        position.longer.clear();
        if let Some(heard) = &position.heard {
            self.write_revoked(&self.ear.revoked.missing(heard, now), now).await?;
            position.heard = None;
        }
        self.ear.revoked.set_heard(now);
        Ok(())
    }

    /// Notes the version where there is none. Whether this program understands it; one that is away has none yet.
    pub(super) async fn understands(&self) -> bool {
        let (mut commands, key) = (redis::pipe(), self.redis.tagged(TAG, SCHEMA));
        commands.cmd("SET").arg(&key).arg(VERSION).arg("NX").ignore().cmd("GET").arg(&key);
        let version: Result<(u64,), Away> = self.redis.run(&commands).await;
        version.map_or(true, |(version,)| version <= VERSION)
    }

    /// Which server this is, its last number, and what changed there after `number`.
    async fn changes(&self, number: i64) -> Result<(String, i64, Vec<(Vec<u8>, i64)>), Away> {
        let mut commands = redis::pipe();
        commands.cmd("GET").arg(self.redis.tagged(TAG, SCHEMA));
        commands.cmd("INFO").arg("replication");
        commands.cmd("GET").arg(self.redis.tagged(TAG, NUMBER));
        commands.cmd("ZRANGEBYSCORE").arg(self.redis.tagged(TAG, CHANGES)).arg(format!("({number}")).arg("+inf");
        commands.arg("WITHSCORES").arg("LIMIT").arg(0).arg(CHUNK);
        let (version, info, last, changed): (Option<u64>, String, Option<i64>, _) = self.redis.run(&commands).await?;
        if version.is_some_and(|version| version > VERSION) {
            // Others were brought up to date meanwhile: what they keep may mean something else.
            events::StoreNewer.emit();
            return Err(Away);
        }
        let id = info.lines().find_map(|line| line.strip_prefix("master_replid:")).unwrap_or_default();
        Ok((id.trim().to_owned(), last.unwrap_or(0), changed))
    }

    /// Takes what these names came to into the copy.
    async fn apply(&self, changed: Vec<(Vec<u8>, i64)>, position: &mut Position, now: i64) -> Result<(), Away> {
        let mut command = redis::pipe();
        command.cmd("HMGET").arg(self.redis.tagged(TAG, ALL));
        for (name, _) in &changed {
            command.arg(name.as_slice());
        }
        let (values,): (Vec<Option<String>>,) = self.redis.run(&command).await?;
        for ((name, _), value) in changed.into_iter().zip(values) {
            // Nonsense that somebody wrote there revokes nothing.
            let (Ok(name), Some(value)) = (Name::try_from(name), value) else { continue };
            let Some(mut revoked) = read(name, &value) else { continue };
            if let Some(heard) = &mut position.heard {
                heard.insert(name);
            }
            if revoked.mark.until == 0 {
                self.ear.revoked.remove(&name);
                continue;
            }
            let least = (self.ear.least)(&revoked.application, revoked.mark.at);
            let lives_longer = revoked.mark.until < least;
            revoked.mark.until = revoked.mark.until.max(least);
            self.ear.revoked.add(name, revoked.mark, now);
            position.longer.extend(lives_longer.then_some(revoked));
        }
        Ok(())
    }
}

/// `at until application`
fn read(name: Name, value: &str) -> Option<Revoked> {
    let mut parts = value.splitn(3, ' ');
    let (at, until) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let until = if until == LUA_FOREVER { FOREVER } else { until };
    Some(Revoked { name, application: parts.next()?.to_owned(), mark: Mark { at, until } })
}

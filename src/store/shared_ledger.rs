//! The ledger of several servers, in Redis. All keys of an application are in one hash slot, and one script adds a batch with
//! its number, so that it is there once or not at all. Days end by themselves; a server that falls silent leaves a gap,
//! which it takes back when it comes again.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use async_trait::async_trait;
use redis::Pipeline;
use serde_json::{Value, json};
use time::{Date, Duration, UtcDateTime};

use super::evidence::{
    cell_text, distinct, groups, instant, limit_gaps, millis, open_gap, sighting, take_cell, whence_text,
};
use super::{Away, Counting, Replicated, name};
use crate::ledger::{
    Added, Batch, CRASHED, Counts, Credential, EVERY_APPLICATION, Evidence, GAPS, Gap, KEEP_DAYS, LABELS, Mark,
    OVERFLOW, SIGHTINGS, Series, Sighting, Tally,
};

/// The tags of applications.
const TAGS: [&str; 16] = [
    "ledger-0", "ledger-1", "ledger-2", "ledger-3", "ledger-4", "ledger-5", "ledger-6", "ledger-7", "ledger-8",
    "ledger-9", "ledger-a", "ledger-b", "ledger-c", "ledger-d", "ledger-e", "ledger-f",
];
/// How long a writer's record is kept after it was last heard of, in seconds.
const WRITER_SECS: i64 = 30 * 86_400;
/// Keys of the script before those of the series, and of each series.
const OF_ALL: usize = 8;
const OF_SERIES: usize = 4;

/// Adds a batch that follows what is there: 1, and 1 where it is there already. 0 with number, instant and total of the last
/// batch where others are missing between.
/// KEYS: the writer's record, writers by when they were last heard of, gaps, since when; subjects by when, and whence, with
/// hashes; the same with JWTs. Then of each series: cells, labels, its sketch, and the sketch of the overflow.
const ADD: &str = "
local batch = cjson.decode(ARGV[1])
local function text(number) return string.format('%.0f', number) end
local function gap(name, from, ends, lost)
  local known = redis.call('HGET', KEYS[3], name)
  if not known and redis.call('HLEN', KEYS[3]) >= batch.most_gaps then
    local all = redis.call('HGETALL', KEYS[3])
    for index = 1, #all, 2 do
      if tonumber(all[index + 1]:match('^%S+ (%S+)')) < batch.old then redis.call('HDEL', KEYS[3], all[index]) end
    end
    name = '*'
    known = redis.call('HGET', KEYS[3], name)
  end
  if known then
    local began, ended, had = known:match('^(%S+) (%S+) (%S+)$')
    from, ends = math.min(from, tonumber(began)), math.max(ends, tonumber(ended))
    had = tonumber(had)
    lost = (lost < 0 or had < 0) and -1 or lost + had
  end
  redis.call('HSET', KEYS[3], name, text(from) .. ' ' .. text(ends) .. ' ' .. text(lost))
end
local number, at, total = 0, 0, 0
local record = redis.call('GET', KEYS[1])
if record then
  number, at, total = record:match('^(%S+) (%S+) (%S+)$')
  number, at, total = tonumber(number), tonumber(at), tonumber(total)
end
local new = number < batch.number
if new and number ~= batch.after then return {0, text(number), text(at), text(total)} end
if new then number, at, total = batch.number, batch.at, batch.total end
redis.call('SET', KEYS[1], text(number) .. ' ' .. text(at) .. ' ' .. text(total), 'EX', batch.writer_seconds)
if batch.beats then
  if batch.ended then
    redis.call('ZREM', KEYS[2], batch.writer)
  else
    redis.call('ZADD', KEYS[2], at, batch.writer)
  end
  redis.call('HDEL', KEYS[3], 'crash:' .. batch.writer)
  for _, writer in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. text(batch.crashed))) do
    if writer ~= batch.writer then
      gap('crash:' .. writer, tonumber(redis.call('ZSCORE', KEYS[2], writer)), batch.at, -1)
      redis.call('ZREM', KEYS[2], writer)
    end
  end
end
if not new then return {1} end
redis.call('SET', KEYS[4], text(batch.from), 'NX')
for _, missing in ipairs(batch.gaps) do gap(missing[1], missing[2], missing[3], missing[4]) end
local function seen(of, pseudonym, last, whence)
  local known = redis.call('ZSCORE', KEYS[of], pseudonym)
  if known and tonumber(known) > last then return end
  redis.call('ZADD', KEYS[of], last, pseudonym)
  redis.call('HSET', KEYS[of + 1], pseudonym, whence)
end
for index, series in ipairs(batch.series) do
  local first = 8 + (index - 1) * 4
  local cells, labels, sketch = KEYS[first + 1], KEYS[first + 2], KEYS[first + 3]
  local form = 1
  if series.label ~= '' and redis.call('SISMEMBER', labels, series.label) == 0 then
    if redis.call('SCARD', labels) >= batch.most_labels then
      form, sketch = 2, KEYS[first + 4]
    else
      redis.call('SADD', labels, series.label)
      redis.call('EXPIRE', labels, series.seconds)
    end
  end
  for _, cell in ipairs(series.cells) do
    local count, last = cell[3], cell[4]
    local known = redis.call('HGET', cells, cell[form])
    if known then
      local had, before = known:match('^(%S+) (%S+)$')
      count, last = count + tonumber(had), math.max(last, tonumber(before))
    end
    redis.call('HSET', cells, cell[form], text(count) .. ' ' .. text(last))
  end
  redis.call('EXPIRE', cells, series.seconds)
  for _, subject in ipairs(series.subjects) do
    if subject[3] then redis.call('PFADD', sketch, subject[1]) end
    seen(series.seen, subject[1], subject[2], series.whence[form])
  end
  redis.call('EXPIRE', sketch, series.seconds)
end
for of = 5, 7, 2 do
  for _ = 1, redis.call('ZCARD', KEYS[of]) - batch.most_seen do
    redis.call('HDEL', KEYS[of + 1], redis.call('ZPOPMIN', KEYS[of])[1])
  end
end
return {1}
";

impl Replicated {
    /// A key of an application. Those of one are in one slot.
    pub(super) fn ledger_key(&self, application: &str, what: &str) -> String {
        self.redis.tagged(tag(application), &format!("{application}:{what}"))
    }

    fn day_key(&self, application: &str, day: Date, what: &str) -> String {
        self.ledger_key(application, &format!("{what}:{day}"))
    }

    fn sketch_key(&self, application: &str, series: &Series) -> String {
        let Series { day, credential, caller, client, key } = series;
        let name = name(&[credential.name(), caller, client, key]);
        self.day_key(application, *day, &format!("subjects:{}", hex::encode(name)))
    }

    fn seen_keys(&self, application: &str, credential: Credential) -> [String; 2] {
        let credential = credential.name();
        ["seen", "whence"].map(|what| self.ledger_key(application, &format!("{what}:{credential}")))
    }

    fn add_command(&self, batch: &Batch) -> redis::Cmd {
        let application = &batch.application;
        let mut command = redis::cmd("EVAL");
        command.arg(ADD).arg(OF_ALL + OF_SERIES * batch.series.len());
        command.arg(self.ledger_key(application, &format!("writer:{}", batch.writer)));
        for what in ["writers", "gaps", "since"] {
            command.arg(self.ledger_key(application, what));
        }
        for credential in Credential::ALL {
            command.arg(&self.seen_keys(application, credential));
        }
        for series in batch.series.keys() {
            let overflow = Series { client: OVERFLOW.to_owned(), ..series.clone() };
            command.arg(self.day_key(application, series.day, "cells"));
            command.arg(self.day_key(application, series.day, "labels"));
            command.arg(self.sketch_key(application, series)).arg(self.sketch_key(application, &overflow));
        }
        command.arg(message(batch).to_string());
        command
    }
}

/// The tag that an application shares with others: what waits for replicas has a connection for each tag, and there may be
/// a hundred thousand applications.
fn tag(application: &str) -> &'static str {
    let [first, ..] = name(&[application]);
    #[expect(clippy::indexing_slicing, reason = "half a byte is below 16")]
    TAGS[usize::from(first >> 4)]
}

/// A batch, as the script reads it.
fn message(batch: &Batch) -> Value {
    let gaps = batch.gaps.iter().map(|(name, gap)| {
        let lost = gap.lost.map_or(-1, |lost| i64::try_from(lost).unwrap_or(i64::MAX));
        json!([name, millis(gap.from), millis(gap.until), lost])
    });
    let series = batch.series.iter().map(|(series, counts)| series_message(series, counts, batch.at));
    json!({
        "writer": batch.writer,
        "number": batch.number,
        "after": batch.after,
        "from": millis(batch.from),
        "at": millis(batch.at),
        "total": batch.total,
        "ended": batch.ended,
        "beats": batch.application == EVERY_APPLICATION,
        "crashed": millis(batch.at.saturating_sub(CRASHED)),
        "old": millis(batch.at.saturating_sub(Duration::days(i64::from(KEEP_DAYS)))),
        "writer_seconds": WRITER_SECS,
        "most_gaps": GAPS,
        "most_labels": LABELS,
        "most_seen": SIGHTINGS,
        "gaps": gaps.collect::<Vec<_>>(),
        "series": series.collect::<Vec<_>>(),
    })
}

/// Each text in two forms: as it is, and for a label beyond those that are kept apart.
fn series_message(series: &Series, counts: &Counts, now: UtcDateTime) -> Value {
    let overflow = &Series { client: OVERFLOW.to_owned(), ..series.clone() };
    let cells = counts.tallies.iter().map(|(what, tally)| {
        json!([cell_text(series, *what), cell_text(overflow, *what), tally.count, millis(tally.last)])
    });
    let subjects = counts.subjects.iter();
    let subjects = subjects.map(|(pseudonym, presence)| json!([pseudonym, millis(presence.last), presence.distinct]));
    let end = series.day.midnight().as_utc().saturating_add(Duration::days(i64::from(KEEP_DAYS) + 1));
    json!({
        "label": series.client,
        "seconds": (end - now).whole_seconds().max(1),
        "seen": match series.credential { Credential::Hash => 5, Credential::Jwt => 7 },
        "whence": [whence_text(series), whence_text(overflow)],
        "cells": cells.collect::<Vec<_>>(),
        "subjects": subjects.collect::<Vec<_>>(),
    })
}

#[async_trait]
impl Counting for Replicated {
    async fn add(&self, batch: &Arc<Batch>) -> Result<Added, Away> {
        let answer: Vec<i64> = self.redis.durably(tag(&batch.application), self.add_command(batch)).await?;
        match answer.as_slice() {
            [1] => Ok(Added::Kept),
            [0, 0, ..] => Ok(Added::Behind(None)),
            [0, number, at, total] => {
                let (number, total) = (u64::try_from(*number), u64::try_from(*total));
                let mark = number.ok().zip(total.ok()).zip(instant(*at));
                let mark = mark.map(|((number, total), at)| Mark { number, at, total });
                mark.map(|mark| Added::Behind(Some(mark))).ok_or(Away)
            }
            _ => Err(Away),
        }
    }

    async fn evidence(
        &self,
        application: &str,
        days: RangeInclusive<Date>,
        now: UtcDateTime,
    ) -> Result<Evidence, Away> {
        let (first, last) = days.into_inner();
        let mut evidence = self.known(application, now).await?;
        let dates: Vec<Date> =
            std::iter::successors(Some(first), |day| day.next_day()).take_while(|day| *day <= last).collect();
        let mut commands = redis::pipe();
        for day in &dates {
            commands.cmd("HGETALL").arg(self.day_key(application, *day, "cells"));
        }
        let cells: Vec<BTreeMap<String, String>> = self.redis.run(&commands).await?;
        for (day, cells) in dates.iter().zip(cells) {
            for (text, value) in cells {
                let tally = value.split_once(' ').and_then(|(count, last)| {
                    Some(Tally { count: count.parse().ok()?, last: instant(last.parse().ok()?)? })
                });
                take_cell(&mut evidence, *day, &text, tally);
            }
        }
        let groups = groups(evidence.cells.keys());
        if !groups.is_empty() {
            let mut commands = redis::pipe();
            for of in groups.values() {
                commands.cmd("PFCOUNT");
                for series in of {
                    commands.arg(self.sketch_key(application, series));
                }
            }
            let numbers: Vec<u64> = self.redis.run(&commands).await?;
            evidence.distinct = distinct(groups.into_keys().zip(numbers));
        }
        limit_gaps(&mut evidence, (first, last));
        Ok(evidence)
    }

    async fn stragglers(&self, application: &str, since: UtcDateTime, limit: usize) -> Result<Vec<Sighting>, Away> {
        let [seen, whence] = self.seen_keys(application, Credential::Hash);
        let mut commands = redis::pipe();
        commands.cmd("ZRANGE").arg(seen).arg("+inf").arg(millis(since)).arg("BYSCORE").arg("REV");
        commands.arg("LIMIT").arg(0).arg(limit).arg("WITHSCORES");
        let (found,): (Vec<(String, f64)>,) = self.redis.run(&commands).await?;
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let mut commands = redis::pipe();
        commands.cmd("HMGET").arg(whence);
        for (pseudonym, _) in &found {
            commands.arg(pseudonym);
        }
        let (whences,): (Vec<Option<String>>,) = self.redis.run(&commands).await?;
        let read = |((pseudonym, last), whence): ((String, f64), Option<String>)| {
            sighting(&pseudonym, Credential::Hash, whole(last), &whence?)
        };
        Ok(found.into_iter().zip(whences).filter_map(read).collect())
    }

    async fn sightings(&self, application: &str, pseudonyms: &[String]) -> Result<Vec<Sighting>, Away> {
        let mut commands = redis::pipe();
        for pseudonym in pseudonyms {
            for credential in Credential::ALL {
                let [seen, whence] = self.seen_keys(application, credential);
                commands.cmd("ZSCORE").arg(seen).arg(pseudonym).cmd("HGET").arg(whence).arg(pseudonym);
            }
        }
        let answers: Vec<Option<String>> =
            if pseudonyms.is_empty() { Vec::new() } else { self.redis.run(&commands).await? };
        let asked = pseudonyms.iter().flat_map(|pseudonym| Credential::ALL.map(|credential| (pseudonym, credential)));
        let read = |((pseudonym, credential), answer): ((&String, Credential), &[Option<String>])| {
            let [Some(last), Some(whence)] = answer else { return None };
            sighting(pseudonym, credential, whole(last.parse().ok()?), whence)
        };
        Ok(asked.zip(answers.chunks(2)).filter_map(read).collect())
    }
}

impl Replicated {
    /// Since when there is anything, and all gaps: its own, and those of every application.
    async fn known(&self, application: &str, now: UtcDateTime) -> Result<Evidence, Away> {
        let mut commands = Pipeline::new();
        commands.cmd("GET").arg(self.ledger_key(application, "since"));
        commands.cmd("HVALS").arg(self.ledger_key(application, "gaps"));
        let (since, own): (Option<i64>, Vec<String>) = self.redis.run(&commands).await?;
        let mut commands = Pipeline::new();
        commands.cmd("HVALS").arg(self.ledger_key(EVERY_APPLICATION, "gaps"));
        commands.cmd("ZRANGE").arg(self.ledger_key(EVERY_APPLICATION, "writers")).arg(0).arg(-1).arg("WITHSCORES");
        let (all, writers): (Vec<String>, Vec<(String, f64)>) = self.redis.run(&commands).await?;
        // Of one that cannot be read it is only known that something is missing.
        let unreadable = Gap { from: UtcDateTime::UNIX_EPOCH, until: now, lost: None };
        let mut gaps: Vec<Gap> = own.iter().chain(&all).map(|text| read_gap(text).unwrap_or(unreadable)).collect();
        gaps.extend(writers.into_iter().filter_map(|(_, last)| open_gap(instant(whole(last))?, now)));
        Ok(Evidence { since: since.and_then(instant), gaps, ..Evidence::default() })
    }
}

/// `from until lost`
fn read_gap(text: &str) -> Option<Gap> {
    let numbers: Vec<i64> = text.split(' ').filter_map(|number| number.parse().ok()).collect();
    let [from, until, lost] = <[i64; 3]>::try_from(numbers).ok()?;
    Some(Gap { from: instant(from)?, until: instant(until)?, lost: u64::try_from(lost).ok() })
}

/// Scores are milliseconds, whole numbers below 2^53.
#[expect(clippy::cast_possible_truncation, reason = "they were whole when they were written")]
fn whole(score: f64) -> i64 {
    score.round() as i64
}

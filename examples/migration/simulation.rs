//! Lets a world go by day by day, has somebody count it, and asks for the report each morning. Keeps counts of its own,
//! exact ones, to hold the report against.

use std::collections::BTreeMap;

use countersign::acceptance::{Acceptance, Window};
use countersign::ledger::{Credential, Evidence, Outcome};
use countersign::report::{Days, Inquiry, Report};
use time::{Date, Duration, Month, Time, UtcDateTime};

use super::counted::Counted;
use super::world::{BROWNOUT_HOUR, BROWNOUTS, DAYS, ISSUE_HASH_UNTIL, JWT_FROM, Visit, World};

/// The application.
pub const APP: &str = "acme/feedback";
/// Complete days that are judged, and today.
pub const WINDOW: u16 = 29;
/// A client that is refused in a brownout tries twice more.
const TRIES: u16 = 3;
/// Garbage that somebody sends on one day, in each hundred visits.
const FLOOD: (u16, u64) = (60, 500);

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub credential: Credential,
    pub outcome: Outcome,
    pub caller: &'static str,
    pub client: &'static str,
    /// None: it is not genuine, or it was made here.
    pub subject: Option<u32>,
    pub at: UtcDateTime,
}

/// The simulation's own counts.
#[derive(Debug)]
pub struct Truth {
    pub counts: BTreeMap<(Date, Credential, Outcome), u64>,
    /// Genuine hashes and JWTs by day, caller and client.
    pub parts: BTreeMap<(Date, &'static str, &'static str), [u64; 2]>,
    /// The last day of each subject with a hash, and with a JWT.
    last: [Vec<Option<Date>>; 2],
}

/// The start of a day of the world.
pub fn morning(day: u16) -> UtcDateTime {
    let first = Date::from_calendar_date(2026, Month::March, 2).unwrap_or(Date::MIN);
    UtcDateTime::new(first, Time::MIDNIGHT) + Duration::days(day.into())
}

/// The policy of the whole time.
pub fn policy() -> Acceptance {
    let hour = Duration::hours(BROWNOUT_HOUR.into());
    let brownout = |day: u16| Window { from: morning(day) + hour, until: morning(day) + hour + Duration::HOUR };
    Acceptance {
        jwt_from: Some(morning(JWT_FROM)),
        issue_hash_until: Some(morning(ISSUE_HASH_UNTIL)),
        brownouts: BROWNOUTS.map(brownout).to_vec(),
        ..Acceptance::default()
    }
}

/// The report of a morning.
pub fn report(evidence: &Evidence, day: u16) -> Report {
    let now = morning(day);
    let policy = policy();
    let (days, application) = (Days::back(WINDOW, now), APP);
    Report::of(evidence, &Inquiry { application, policy: &policy, days, min_daily: 1, file_changed: false, now })
}

/// Everything that happens on a day.
pub fn events(world: World, day: u16) -> impl Iterator<Item = Event> {
    let visits = world.visits(day).flat_map(move |visit| of_visit(visit, day));
    let flood = if day == FLOOD.0 { u64::from(world.subjects) / 1_000 * FLOOD.1 } else { 0 };
    let (credential, outcome) = (Credential::Hash, Outcome::Invalid);
    let garbage = Event { credential, outcome, caller: "storefront", client: "", subject: None, at: morning(day) };
    visits.chain((0..flood).map(move |_| garbage))
}

fn of_visit(visit: Visit, day: u16) -> impl Iterator<Item = Event> {
    let at = morning(day) + Duration::seconds(visit.second.into());
    let refused = visit.hash && BROWNOUTS.contains(&day) && visit.second / 3_600 == BROWNOUT_HOUR;
    let credential = if visit.hash { Credential::Hash } else { Credential::Jwt };
    let outcome = if refused { Outcome::Refused } else { Outcome::Accepted };
    let (caller, client, subject) = (visit.caller, visit.client, Some(visit.subject));
    let came = Event { credential, outcome, caller, client, subject, at };
    // A page has its credential made for each visit; an app has made its own hash for years.
    let made = (client == "web" || !visit.hash).then_some(Event { outcome: Outcome::Issued, subject: None, ..came });
    let times = if refused { TRIES } else { 1 };
    made.into_iter().chain((0..times).map(move |_| came))
}

impl Truth {
    pub fn new(world: World) -> Self {
        let nobody = || vec![None; usize::try_from(world.subjects).unwrap_or(0)];
        Self { counts: BTreeMap::new(), parts: BTreeMap::new(), last: [nobody(), nobody()] }
    }

    pub fn add(&mut self, event: &Event) {
        let day = event.at.date();
        *self.counts.entry((day, event.credential, event.outcome)).or_default() += 1;
        let Some(subject) = event.subject.and_then(|subject| usize::try_from(subject).ok()) else { return };
        let kind = usize::from(event.credential == Credential::Jwt);
        if let Some(last) = self.last.get_mut(kind).and_then(|last| last.get_mut(subject)) {
            *last = Some(day);
        }
        let part = self.parts.entry((day, event.caller, event.client)).or_default();
        if let Some(count) = part.get_mut(kind) {
            *count += 1;
        }
    }

    /// The first morning with a window of complete days behind it since the last hash.
    pub fn ready(&self) -> Option<UtcDateTime> {
        let last = self.parts.iter().filter(|(_, [hashes, _])| *hashes > 0).map(|((day, ..), _)| *day).max()?;
        Some(UtcDateTime::new(last, Time::MIDNIGHT) + Duration::days(WINDOW.into()))
    }

    /// Whether in each caller's client at least half of what came on the day before were JWTs.
    fn half(&self, day: u16) -> bool {
        let yesterday = (morning(day) - Duration::DAY).date();
        let mut parts = self.parts.iter().filter(|((day, ..), _)| *day == yesterday).peekable();
        parts.peek().is_some() && parts.all(|(_, [hashes, jwts])| hashes <= jwts)
    }

    /// Distinct subjects since then, with a hash and with a JWT.
    pub fn distinct(&self, since: Date) -> [u64; 2] {
        [0, 1].map(|kind: usize| {
            let last = self.last.get(kind).into_iter().flatten();
            last.filter(|day| day.is_some_and(|day| since <= day)).count() as u64
        })
    }
}

/// What is known of a morning.
#[derive(Clone, Copy, Debug)]
pub struct Morning {
    pub day: u16,
    /// Distinct subjects of the window, exactly: with a hash, with a JWT.
    pub distinct: [u64; 2],
    /// Whether in each caller's client at least half of what came on the day before were JWTs: half of the curve is seen.
    pub half: bool,
    pub ready: bool,
    pub projected: Option<UtcDateTime>,
}

/// Lets the world go by until the report says that it is ready, or for its days.
pub async fn run(
    world: World,
    mut counted: Counted,
    mut each: impl FnMut(&Morning, &Report, &Truth),
) -> anyhow::Result<Vec<Morning>> {
    let mut truth = Truth::new(world);
    let mut mornings = Vec::new();
    for day in 0..DAYS {
        let report = report(&counted.evidence(morning(day)).await?, day);
        let known = Morning {
            day,
            distinct: truth.distinct(report.days.first().map_or(Date::MIN, |day| day.date)),
            half: truth.half(day),
            ready: report.verdict.ready,
            projected: report.verdict.projected_ready_at,
        };
        each(&known, &report, &truth);
        mornings.push(known);
        if known.ready {
            break;
        }
        for event in events(world, day) {
            truth.add(&event);
            counted.saw(&event).await?;
        }
    }
    Ok(mornings)
}

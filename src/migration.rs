//! What the ledger says of an application's move, for operators: the report, who uses hashes still, who would be refused.

use std::collections::{BTreeMap, BTreeSet};

use time::UtcDateTime;

use crate::account::Account;
use crate::application::Application;
use crate::authority::Authority;
use crate::identity::Subject;
use crate::ledger::{Evidence, Sighting};
use crate::pseudonym::Use;
use crate::refusal::Refusal;
use crate::report::{Days, Inquiry, Rehearsal, Report};
use crate::store::Away;

/// What was seen of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What the ledger calls it.
    pub pseudonym: String,
    /// What the audit log calls it.
    pub audit_pseudonym: String,
    /// The last sighting with each credential.
    pub sightings: Vec<Sighting>,
}

impl Authority {
    /// The report on that many days; none: those that the application is judged by, and today.
    pub async fn report(&self, account: &Account<'_>, window: Option<u16>) -> Result<Report, Refusal> {
        let (snapshot, now) = self.present();
        let application = snapshot.application_for(account.caller, &account.application)?;
        let days = days(application, window, now);
        let evidence = self.evidence(application, days, now).await?;
        Ok(Report::of(
            &evidence,
            &Inquiry {
                application: &application.name,
                policy: &application.acceptance,
                days,
                min_daily: application.readiness.min_daily,
                file_changed: application.set.as_ref().is_some_and(|set| set.file_changed),
                now,
            },
        ))
    }

    /// The subjects that were seen last with a hash on these days, the last first.
    pub async fn stragglers(
        &self,
        account: &Account<'_>,
        window: Option<u16>,
        limit: usize,
    ) -> Result<Vec<Sighting>, Refusal> {
        let (snapshot, now) = self.present();
        let application = snapshot.application_for(account.caller, &account.application)?;
        let since = days(application, window, now).first().midnight().as_utc();
        self.ledger().stragglers(&application.name, since, limit, now).await.map_err(unavailable)
    }

    /// What was seen of each of these subjects, in their order.
    pub async fn find(&self, account: &Account<'_>, subjects: &[Subject]) -> Result<Vec<Found>, Refusal> {
        let (snapshot, now) = self.present();
        let application = &snapshot.application_for(account.caller, &account.application)?.name;
        let called = |of, subject| self.books.pseudonyms.of(application, of, subject);
        let pseudonyms: Vec<String> = subjects.iter().map(|subject| called(Use::Ledger, subject)).collect();
        // Whoever is asked for twice is looked up once.
        let distinct: Vec<String> = BTreeSet::from_iter(pseudonyms.iter().cloned()).into_iter().collect();
        let mut seen: BTreeMap<String, Vec<Sighting>> = BTreeMap::new();
        for sighting in self.ledger().sightings(application, &distinct, now).await.map_err(unavailable)? {
            seen.entry(sighting.pseudonym.clone()).or_default().push(sighting);
        }
        let found = subjects.iter().zip(pseudonyms).map(|(subject, pseudonym)| Found {
            sightings: seen.get(&pseudonym).cloned().unwrap_or_default(),
            audit_pseudonym: called(Use::Audit, subject),
            pseudonym,
        });
        Ok(found.collect())
    }

    /// Who would be refused if hashes ended at that instant, by who used them on these days.
    pub async fn rehearse(
        &self,
        account: &Account<'_>,
        hash_until: UtcDateTime,
        window: Option<u16>,
    ) -> Result<Rehearsal, Refusal> {
        let (snapshot, now) = self.present();
        let application = snapshot.application_for(account.caller, &account.application)?;
        let days = days(application, window, now);
        let evidence = self.evidence(application, days, now).await?;
        Ok(Rehearsal::of(&evidence, &application.acceptance, days, hash_until))
    }

    async fn evidence(&self, application: &Application, days: Days, now: UtcDateTime) -> Result<Evidence, Refusal> {
        let days = days.first()..=days.last();
        self.ledger().evidence(&application.name, days, now).await.map_err(unavailable)
    }
}

fn days(application: &Application, window: Option<u16>, now: UtcDateTime) -> Days {
    Days::back(window.unwrap_or_else(|| application.readiness.window_days.saturating_add(1)), now)
}

const fn unavailable(_away: Away) -> Refusal {
    Refusal::StoreUnavailable
}

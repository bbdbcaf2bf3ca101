//! The version of what is in the file, and the steps from older ones. A step is taken in the transaction that notes the new
//! version, so a file is always wholly of one version, whenever the process ends. A version that is newer than this program
//! is refused and left as it is. Tables that are merely new need no step: they are made when the file is opened.

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, TableError, WriteTransaction};

use super::Name;
use super::embedded::FACTS;

/// What describes the file: `schema`.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// What the version is called there.
const KEY: &str = "schema";

/// Leads from one version to the next.
type Step = fn(&WriteTransaction) -> Result<(), redb::Error>;

/// The steps, from version 1 on: the version of a file is one more than the steps that it has behind it.
const STEPS: [Step; 1] = [facts_in_seconds];
/// The version that this program writes.
pub(super) const SCHEMA: u64 = STEPS.len() as u64 + 1;

/// Brings the file to [`SCHEMA`]. False, and nothing is changed, where it is newer.
pub(super) fn migrate(file: &Database) -> Result<bool, redb::Error> {
    // A file without a version is new.
    let written = version(file)?.unwrap_or(SCHEMA);
    if written > SCHEMA {
        return Ok(false);
    }
    let transaction = file.begin_write()?;
    let behind = usize::try_from(written.saturating_sub(1)).unwrap_or(STEPS.len());
    STEPS.iter().skip(behind).try_for_each(|step| step(&transaction))?;
    transaction.open_table(META)?.insert(KEY, SCHEMA)?;
    transaction.commit()?;
    Ok(true)
}

fn version(file: &Database) -> Result<Option<u64>, redb::Error> {
    match file.begin_read()?.open_table(META) {
        Ok(meta) => Ok(meta.get(KEY)?.map(|version| version.value())),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// 1 to 2: facts were in nanoseconds, in twice the bytes, and nothing else in the file is.
fn facts_in_seconds(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    const IN_NANOSECONDS: TableDefinition<'_, &Name, i128> = TableDefinition::new("facts");
    const SECOND: i128 = 1_000_000_000;
    {
        let (old, mut new) = (transaction.open_table(IN_NANOSECONDS)?, transaction.open_table(FACTS)?);
        for fact in old.iter()? {
            let (name, at) = fact?;
            // What no clock shows is no fact.
            let Ok(at) = i64::try_from(at.value().div_euclid(SECOND)) else { continue };
            new.insert(name.value(), at)?;
        }
    }
    transaction.delete_table(IN_NANOSECONDS)?;
    Ok(())
}

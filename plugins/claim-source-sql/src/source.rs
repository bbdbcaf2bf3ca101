//! An open source: asks its question, whatever the database.

use std::sync::Arc;

use async_trait::async_trait;
use countersign_claim_source::{Answer, Ask, ClaimSource, OpenError, Secret, Why};
use futures::TryStreamExt as _;
use serde_json::{Map, Value};
use sqlx::{Column as _, Either, Executor, IntoArguments, Row as _, Statement as _};

use crate::cell::Room;
use crate::dialect::{Bound, Dialect, failure};
use crate::pool::Pool;
use crate::question::Question;

/// Opens a source. The first question connects.
pub(crate) fn open<D: Dialect>(url: &Secret, question: Question, pool: usize) -> Result<Arc<dyn ClaimSource>, OpenError>
where
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    D::Arguments: IntoArguments<D>,
{
    let options = D::options(url.expose()).ok();
    let options = options.ok_or_else(|| OpenError("the address cannot be understood".to_owned()))?;
    Ok(Arc::new(Source::<D> { pool: Pool::new(options, pool), question }))
}

struct Source<D: Dialect> {
    pool: Pool<D>,
    question: Question,
}

#[async_trait]
impl<D: Dialect> ClaimSource for Source<D>
where
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    D::Arguments: IntoArguments<D>,
{
    async fn claims(&self, ask: &Ask) -> Answer {
        self.ask(ask).await.unwrap_or_else(|failure| failure)
    }
}

impl<D: Dialect> Source<D>
where
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    D::Arguments: IntoArguments<D>,
{
    async fn ask(&self, ask: &Ask) -> Result<Answer, Answer> {
        let values = self.question.bound(ask)?;
        let mut lease = self.pool.begin(ask.time).await.map_err(failure::<D>)?;
        let connection = &mut lease.opened.connection;
        let statement = connection.prepare(self.question.sql.clone()).await.map_err(failure::<D>)?;
        let answer = match self.arguments(&statement, values) {
            Ok(arguments) => Ok(self.question.answer(self.rows(connection, arguments, ask).await?)),
            Err(unasked) => Err(unasked),
        };
        self.pool.end(lease).await;
        answer
    }

    /// The values for the placeholders of a prepared statement, or why it cannot be asked with them.
    fn arguments(&self, statement: &D::Statement, values: Vec<Bound>) -> Result<D::Arguments, Answer> {
        let (count, types) = match statement.parameters() {
            Some(Either::Left(types)) => (types.len(), types),
            Some(Either::Right(count)) => (count, [].as_slice()),
            None => (values.len(), [].as_slice()),
        };
        if count != values.len() {
            return Err(Answer::malformed("the query has more placeholders or fewer than `bind` has values"));
        }
        let mut arguments = D::Arguments::default();
        for (index, (value, bound)) in self.question.values.iter().zip(values).enumerate() {
            D::bind(&mut arguments, bound, types.get(index)).map_err(|why| value.unfit(why))?;
        }
        Ok(arguments)
    }

    async fn rows(
        &self,
        connection: &mut D::Connection,
        arguments: D::Arguments,
        ask: &Ask,
    ) -> Result<Vec<Map<String, Value>>, Answer> {
        let mut found = connection.fetch(sqlx::query_with(self.question.sql.clone(), arguments));
        let (mut rows, mut room) = (Vec::new(), Room::new());
        while let Some(row) = found.try_next().await.map_err(failure::<D>)? {
            if rows.len() == self.question.max_rows() {
                return Err(Answer::malformed(self.question.too_many()));
            }
            rows.push(self.object(&row, &mut room, ask).map_err(Answer::Malformed)?);
        }
        Ok(rows)
    }

    /// The columns of a row that are wanted, by name.
    fn object(&self, row: &D::Row, room: &mut Room, ask: &Ask) -> Result<Map<String, Value>, Why> {
        let names: Vec<&str> = row.columns().iter().map(|column| column.name()).collect();
        if !self.question.is_served_by(&names, ask) {
            return Err("the query has no column for a claim of `sets`".into());
        }
        let mut object = Map::new();
        for (index, name) in names.into_iter().enumerate().filter(|(_, name)| self.question.wants(name, ask)) {
            let cell = D::cell(row, index)?;
            let cell = if self.question.is_json(name) { cell.read_as_json() } else { cell };
            let Some(value) = cell.into_json(room)? else { continue };
            if object.insert(name.to_owned(), value).is_some() {
                return Err("the query has two columns of one name".into());
            }
        }
        Ok(object)
    }
}

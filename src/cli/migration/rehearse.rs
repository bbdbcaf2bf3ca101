//! `migration rehearse`: who would be refused.

use super::{args, date, window};
use crate::cli::answer::{Answer, Exit};
use crate::cli::client::Session;
use crate::cli::commands::run as wait;
use crate::cli::input::Input;
use crate::cli::json;
use crate::cli::text::{Columns, instant, line, plain};
use crate::cli::trouble::Trouble;
use crate::grpc::proto::admin::{RehearseRequest, RehearseResponse};
use crate::words::grouped;

pub(super) fn run(args: &args::Rehearse) -> Result<Answer, Trouble> {
    let request = RehearseRequest {
        application: args.client.application.clone(),
        hash_until: Some(date("--hash-until", &args.hash_until)?),
        window: window(&args.window),
    };
    let hash_until = request.hash_until;
    wait(async {
        let session = Session::open(&args.client.connection, &mut Input::default()).await?;
        let response = session.answer(session.migration().rehearse(request)).await?;
        let output = if args.client.json {
            json::line("countersign.admin.v1.RehearseResponse", &response)?
        } else {
            text(&response, &hash_until.as_ref().map(instant).unwrap_or_default())
        };
        let exit = match response.refused {
            0 if response.unknown.is_empty() => Exit::Done,
            0 => Exit::Unjudged,
            _ => Exit::Refused,
        };
        Ok(Answer::new(output, String::new(), exit))
    })
}

fn text(response: &RehearseResponse, until: &str) -> String {
    let mut text = String::new();
    if response.refused == 0 {
        line(&mut text, format_args!("With an end at {until}, nobody who was seen in the window would be refused."));
    } else {
        let (hashes, subjects) = (grouped(response.refused), grouped(response.refused_subjects));
        line(&mut text, format_args!("With an end at {until}, {hashes} hashes of the window would have been refused,"));
        line(&mut text, format_args!("of about {subjects} subjects."));
    }
    let mut columns = Columns::new(&["client", "caller", "hashes", "subjects", "last", "accepted until"]);
    for pair in &response.rehearsed {
        let label = if pair.client.is_empty() { "(no label)" } else { &pair.client };
        let day = |at: &Option<prost_types::Timestamp>| at.as_ref().map(instant).unwrap_or_default();
        let last = day(&pair.last_hash).chars().take("2027-03-31".len()).collect();
        let fields = [pair.caller.clone(), grouped(pair.hashes), grouped(pair.subjects), last, day(&pair.hash_until)];
        columns.row(label, fields);
    }
    if !columns.is_empty() {
        columns.write("  ", &mut text);
    }
    if !response.unknown.is_empty() {
        line(&mut text, format_args!("There may be others:"));
    }
    for unknown in &response.unknown {
        line(&mut text, format_args!("  {}", plain(&unknown.message)));
    }
    if let Some(issued) = &response.issued_until {
        line(&mut text, format_args!("Hashes would still be made until {}: of no use.", instant(issued)));
    }
    text
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;

    use super::*;
    use crate::grpc::proto::admin::{Blocker, Rehearsed};

    #[test]
    fn it_says_who_would_be_refused_and_who_is_spared() {
        let pair = |client: &str, hashes, until| Rehearsed {
            caller: "gateway".to_owned(),
            client: client.to_owned(),
            hashes,
            subjects: hashes / 2,
            last_hash: Some(Timestamp { seconds: 86_400, nanos: 0 }),
            hash_until: Some(Timestamp { seconds: until, nanos: 0 }),
        };
        let response = RehearseResponse {
            rehearsed: vec![pair("ios/2.9", 1_204, 172_800), pair("", 14, 864_000)],
            refused: 1_204,
            refused_subjects: 602,
            issued_until: Some(Timestamp { seconds: 864_000, nanos: 0 }),
            unknown: vec![Blocker { code: 0, message: "3 of 28 complete days are counted.".to_owned() }],
        };
        let wanted = "\
With an end at 1970-01-03T00:00:00Z, 1,204 hashes of the window would have been refused,
of about 602 subjects.
  client       caller  hashes  subjects        last        accepted until
  ios/2.9     gateway   1,204       602  1970-01-02  1970-01-03T00:00:00Z
  (no label)  gateway      14         7  1970-01-02  1970-01-11T00:00:00Z
There may be others:
  3 of 28 complete days are counted.
Hashes would still be made until 1970-01-11T00:00:00Z: of no use.
";
        assert_eq!(text(&response, "1970-01-03T00:00:00Z"), wanted);
        let nobody = text(&RehearseResponse::default(), "1970-01-03T00:00:00Z");
        assert!(nobody.starts_with("With an end at 1970-01-03T00:00:00Z, nobody"), "{nobody}");
    }
}

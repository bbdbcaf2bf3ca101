//! What stands below the `--help` of each command of `migration`: examples, and what the exit status means.

pub(super) const MIGRATION: &str = "\
Examples:
  countersign migration status --application acme/feedback
  countersign migration stragglers --application acme/feedback

The caller of COUNTERSIGN_TOKEN or --token-file needs the permission `admin`.

A DATE is 2027-03-31, which means 00:00:00Z, or a time of RFC 3339.";

pub(super) const STATUS: &str = "\
Examples:
  countersign migration status --application acme/feedback
  countersign migration status --application acme/feedback --days 91
  countersign migration status --application acme/feedback --watch

Today is shown and not judged: it is not over. --watch ends when the server stops.

Exit status: 0 ready, 1 not ready, 2 could not judge.";

pub(super) const STRAGGLERS: &str = "\
Examples:
  countersign migration stragglers --application acme/feedback --limit 20
  countersign migration stragglers --application acme/feedback --from users.csv > still-on-hashes.txt

Users are known by pseudonyms alone. With --from, your list is matched on the server, a thousand users at a time, and \
those that were seen with a hash are printed by the names that you gave, with when and where they were seen last.

Exit status: 0 done, 2 not.";

pub(super) const SET: &str = "\
Examples:
  countersign migration set --application acme/feedback --reason 'the last app is out' --hash-until 2027-03-31
  countersign migration set --application acme/feedback --reason 'first brownout' \\
    --brownout 2027-02-01T10:00:00Z/2027-02-01T10:15:00Z --dry-run

What is not named stays as it is. The policy wins over the configuration file until `reset`. Where somebody else \
changed it in between, nothing is set.

Exit status: 0 set, or nothing to change; 2 not set.";

pub(super) const RESET: &str = "\
Example:
  countersign migration reset --application acme/feedback --reason 'the file has it now'

Exit status: 0 the policy of the file holds, 2 not reset.";

pub(super) const REHEARSE: &str = "\
Example:
  countersign migration rehearse --application acme/feedback --hash-until 2027-03-31

Judged by what was seen in the window, with the exceptions of the policy in force. Nothing changes.

Exit status: 0 nobody would be refused, 1 somebody would, 2 could not judge: nobody is known, and not everything is \
counted.";

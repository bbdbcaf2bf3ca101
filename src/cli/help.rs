//! What stands below `--help`: examples that work against `countersign serve --dev`, and the environment. A paragraph is
//! one line here: the terminal breaks it.

pub(super) const TOP: &str = "\
Example:
  countersign serve --dev &
  countersign sign --application demo --user-id 123456 --email user@example.com |
    countersign verify --application demo --jwt -

Environment:
  COUNTERSIGN_SERVER       the server, like --server
  COUNTERSIGN_APPLICATION  the application, like --application
  COUNTERSIGN_TOKEN        makes you known to the server, like the content of --token-file
  COUNTERSIGN_LOG          what `serve` logs, such as info or countersign=debug

Exit status:
  0  accepted or done
  1  refused, or problems found
  2  could not judge: wrong usage, no server, an error of the server";

pub(super) const SERVE: &str = "\
Examples:
  countersign serve --dev
  countersign serve --config /etc/countersign/countersign.toml

COUNTERSIGN_LOG says what is logged, such as info or countersign=debug. \
COUNTERSIGN__SERVER__LISTEN and the like replace single keys of [server], [store] and [audit].";

pub(super) const CHECK_CONFIG: &str = "\
Example:
  countersign check-config --config countersign.toml

Exit status: 0 nothing wrong (there may be warnings), 1 problems found.";

pub(super) const SIGN: &str = "\
Example:
  countersign sign --application demo --user-id 123456 --email user@example.com \\
    --attribute plan=Premium --company '{\"id\": \"987654321\", \"name\": \"Business Inc. 23\"}'

Standard output holds the token alone, everything else is on standard error. \
COUNTERSIGN_TOKEN or --token-file makes you known to the server.

Exit status: 0 signed, 2 not signed.";

pub(super) const VERIFY: &str = "\
Examples:
  countersign verify --application demo --jwt - < token.txt
  countersign verify --application demo --email user@example.com --user-hash HASH

Beside a hash, the user flags say what it was made over; beside a JWT they are what your page sends outside it. \
An ID=HASH is split at its first `=`. COUNTERSIGN_TOKEN or --token-file makes you known to the server.

Exit status: 0 accepted, 1 refused, 2 could not judge.";

pub(super) const HASH: &str = "\
Examples:
  countersign hash --application demo --email user@example.com
  countersign hash --application demo --company-id 987654321

Standard output holds the user's hash alone; company hashes asked for beside it are on standard error, as \
`company ID HASH`. Without a user, standard output holds the company hashes, one a line, in the order asked for. \
--json answers with all of them. COUNTERSIGN_TOKEN or --token-file makes you known to the server.

Exit status: 0 made, 2 not made.";

pub(super) const EXCHANGE: &str = "\
Example:
  countersign exchange --application demo --email user@example.com --user-hash HASH

Only what the credential proves is signed. Standard output holds the new token alone, everything else is on standard \
error. COUNTERSIGN_TOKEN or --token-file makes you known to the server.

Exit status: 0 signed, 1 refused, 2 could not judge.";

pub(super) const DIAGNOSE: &str = "\
Example:
  countersign diagnose --application demo --email user@example.com --user-hash HASH \\
    --suspected-secret-file secret.txt

Nothing is consumed, counted or remembered, and the suspected secret is kept nowhere. \
COUNTERSIGN_TOKEN or --token-file makes you known to the server.

Exit status: 0 nothing wrong, 1 problems found, 2 could not judge.";

pub(super) const REVOKE: &str = "\
Examples:
  countersign revoke --application demo --user-id 123456
  countersign revoke --application demo --token-id ID

Tokens that are signed after that are good again; a user's hashes are refused until `restore`. \
The caller of COUNTERSIGN_TOKEN or --token-file needs the permission `revoke`; for a key, `admin`.

Exit status: 0 revoked, and it stays so, 2 not sure: try again.";

pub(super) const RESTORE: &str = "\
Example:
  countersign restore --application demo --user-id 123456

Tokens that were revoked stay so. The caller of COUNTERSIGN_TOKEN or --token-file needs the permission `admin`.

Exit status: 0 the hashes are not refused any more, or never were, 2 not sure: try again.";

pub(super) const INVALIDATE: &str = "\
Example:
  countersign invalidate --application demo --user-id 123456

The next token for the user asks every source again; tokens that were signed stay as they are. \
The caller of COUNTERSIGN_TOKEN or --token-file needs the permission `admin`.

Replicas are told through the Redis that is their store; without one, tell each of them.

Exit status: 0 dropped, 2 not: where the store is away it was dropped on the server that was asked alone.";

pub(super) const AUDIT: &str = "\
Examples:
  countersign audit verify var/audit.log*
  countersign audit verify var/audit.log* --head heads.json --public-key BASE64
  redis-cli --raw XRANGE '{countersign:audit}:records' - + | grep '^{' | countersign audit verify - --stream

The head is on the page /audit/heads of the admin listener, the public key in the server's log at its start. \
Without them an intact log is still told from one that was changed; what could not be ruled out is listed.

Exit status: 0 intact, 1 changed, 2 a file cannot be read.";

pub(super) const COMPLETIONS: &str = "\
Examples:
  countersign completions bash > /etc/bash_completion.d/countersign
  countersign completions zsh > \"${fpath[1]}/_countersign\"
  countersign completions fish > ~/.config/fish/completions/countersign.fish";

//! The audit logs of several servers, in one stream of Redis. Each server has a chain of its own in it.

use async_trait::async_trait;

use super::{Away, SharedRedis};
use crate::audit::chain::Line;
use crate::audit::sinks::Stream;

/// What both keys have in common.
const TAG: &str = "audit";
/// How long the end of a chain is remembered, in seconds: longer than an answer of Redis can be on its way.
const REMEMBERED_SECS: u64 = 3_600;

/// Adds lines of a chain, all at once, unless they are there: a command may arrive twice.
/// KEYS: the stream, the number of the chain's last line. ARGV: lines to keep, how long to remember the number, the chain,
/// then number and text of each line.
const ADD: &str = "
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
if tonumber(ARGV[#ARGV - 1]) <= last then return 0 end
for i = 4, #ARGV, 2 do
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'writer', ARGV[3], 'seq', ARGV[i], 'line', ARGV[i + 1])
end
redis.call('SET', KEYS[2], ARGV[#ARGV - 1], 'EX', ARGV[2])
return 1
";

#[async_trait]
impl Stream for SharedRedis {
    async fn add(&self, lines: &[Line], writer: &str, keep: usize) -> Result<(), Away> {
        let mut command = redis::cmd("EVAL");
        command.arg(ADD).arg(2).arg(self.tagged(TAG, "records")).arg(self.tagged(TAG, &format!("last:{writer}")));
        command.arg(keep).arg(REMEMBERED_SECS).arg(writer);
        for line in lines {
            command.arg(line.seq).arg(&line.text);
        }
        self.durably::<i64>(TAG, command).await.map(drop)
    }
}

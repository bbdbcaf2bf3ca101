//! The world of the simulation: subjects whose pages and apps move from hashes to JWTs one after another. It makes visits,
//! day by day, and knows nothing of the ledger or the report. Equal seeds make equal worlds.

use fastrand::Rng;

/// Subjects, unless a test wants fewer. Each comes about once a month.
pub const SUBJECTS: u32 = 1_000_000;
/// The days that are simulated.
pub const DAYS: u16 = 90;
/// From then on JWTs are accepted.
pub const JWT_FROM: u16 = 3;
/// From then on no hash is made.
pub const ISSUE_HASH_UNTIL: u16 = 50;
/// The days of the brownouts, and the hour that they last for.
pub const BROWNOUTS: [u16; 2] = [14, 33];
pub const BROWNOUT_HOUR: u32 = 12;
/// The mobile release that everybody forgot: its caller and its label.
pub const FORGOTTEN: (&str, &str) = ("gateway", "ios/2.9");
/// Subjects who come on a working day, of a thousand, and how many of those come on a day of a week-end.
const DAILY: u32 = 36;
const WEEKEND: f64 = 0.7;

/// What uses the service: a caller's client, how many of a thousand subjects use it, the day on which half of them have
/// moved.
const PARTS: [(&str, &str, u32, f64); 7] = [
    ("storefront", "web", 380, 19.0),
    ("billing", "web", 120, 20.0),
    ("newsletter", "web", 60, 19.0),
    ("helpdesk", "web", 40, 21.0),
    ("gateway", "android/4.1", 200, 22.0),
    ("gateway", "ios/3.2", 160, 21.0),
    (FORGOTTEN.0, FORGOTTEN.1, 40, f64::INFINITY),
];

/// How the subjects of a part move around its middle.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Normally distributed, with this standard deviation in days.
    Normal(f64),
    /// Logistically, with this scale in days: a few come very late.
    Logistic(f64),
    /// In equal numbers on each of so many days.
    Straight(f64),
}

/// A world.
#[derive(Clone, Copy, Debug)]
pub struct World {
    pub seed: u64,
    pub shape: Shape,
    /// The day on which the forgotten release is withdrawn.
    pub withdrawn: u16,
    pub subjects: u32,
}

/// A subject comes with a credential.
#[derive(Clone, Copy, Debug)]
pub struct Visit {
    pub subject: u32,
    pub caller: &'static str,
    pub client: &'static str,
    pub second: u32,
    pub hash: bool,
}

impl World {
    /// A whole world, in which the forgotten release is withdrawn four days after the first brownout has shown it.
    pub fn of(seed: u64, shape: Shape) -> Self {
        Self { seed, shape, withdrawn: BROWNOUTS[0] + 4, subjects: SUBJECTS }
    }

    /// The visits of a day, in no order.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of visits")]
    pub fn visits(self, day: u16) -> impl Iterator<Item = Visit> {
        let factor = if day % 7 < 5 { 1.0 } else { WEEKEND };
        let count = (f64::from(self.subjects / 1_000 * DAILY) * factor) as u32;
        let mut rng = Rng::with_seed(self.seed << 32 | u64::from(day) << 24 | 1);
        (0..count).map(move |_| {
            let (subject, second) = (rng.u32(0..self.subjects), rng.u32(0..86_400));
            self.visit(subject, day, second)
        })
    }

    /// Where a subject belongs and when it moves never changes: both come from its number.
    fn visit(self, subject: u32, day: u16, second: u32) -> Visit {
        let mut own = Rng::with_seed(self.seed << 32 | u64::from(subject));
        let mut place = own.u32(0..1_000);
        let mut parts = PARTS.iter().filter(|(.., size, _)| {
            let here = place < *size;
            place = place.saturating_sub(*size);
            here
        });
        let (caller, client, _, middle) = *parts.next().unwrap_or(&PARTS[0]);
        let moves = (middle + self.shape.draw(&mut own)).max(f64::from(JWT_FROM));
        if (caller, client) == FORGOTTEN {
            // Who was made to take the new release is among its users.
            let hash = day < self.withdrawn;
            return Visit { subject, caller, client: if hash { client } else { "ios/3.2" }, second, hash };
        }
        Visit { subject, caller, client, second, hash: f64::from(day) + f64::from(second) / 86_400.0 < moves }
    }
}

impl Shape {
    fn draw(self, rng: &mut Rng) -> f64 {
        match self {
            Self::Logistic(scale) => {
                let share = rng.f64().clamp(1e-12, 1.0 - 1e-12);
                scale * (share / (1.0 - share)).ln()
            }
            // Box and Muller's.
            Self::Normal(deviation) => {
                let radius = (-2.0 * rng.f64().max(1e-300).ln()).sqrt();
                deviation * radius * (std::f64::consts::TAU * rng.f64()).cos()
            }
            Self::Straight(days) => days * (rng.f64() - 0.5),
        }
    }
}

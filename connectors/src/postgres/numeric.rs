//! `numeric` in the binary format: digits of base 10,000 with a weight and a scale.
//!
//! Source: `numeric_send` in PostgreSQL's `src/backend/utils/adt/numeric.c`.

use super::decode::Refusal;

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITE: u16 = 0xD000;
const MINUS_INFINITE: u16 = 0xF000;
const BASE: i128 = 10_000;
const BASE_DIGITS: i32 = 4;
/// Groups whose digits fit in 64 bits.
const SMALL_GROUPS: usize = 4;
/// The powers of ten that fit in 64 bits.
const TENS: [u64; 20] = {
    let mut tens = [1; 20];
    let mut power = 1;
    while power < tens.len() {
        tens[power] = tens[power - 1] * 10;
        power += 1;
    }
    tens
};

/// A value as it is sent.
pub(super) struct Numeric<'a> {
    /// The power of the base that the first digit stands for.
    weight: i32,
    sign: u16,
    /// Digits after the point that are shown.
    scale: i32,
    digits: &'a [u8],
}

impl<'a> Numeric<'a> {
    pub(super) fn try_new(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let Some((head, digits)) = bytes.split_first_chunk::<8>() else {
            return Err(Refusal::Malformed);
        };
        let word = |i: usize| u16::from_be_bytes([head[i], head[i + 1]]);
        let count = usize::from(word(0));
        if digits.len() != count * 2 {
            return Err(Refusal::Malformed);
        }
        Ok(Self {
            weight: i32::from(word(2).cast_signed()),
            sign: word(4),
            scale: i32::from(word(6)),
            digits,
        })
    }

    fn special(&self) -> Option<&'static str> {
        match self.sign {
            NAN => Some("NaN"),
            INFINITE => Some("Infinity"),
            MINUS_INFINITE => Some("-Infinity"),
            _ => None,
        }
    }

    fn groups(&self) -> impl Iterator<Item = u16> {
        self.digits.chunks_exact(2).map(|d| u16::from_be_bytes([d[0], d[1]]))
    }

    /// The value times ten to the power of `scale`, if that is an integer of at most `precision`
    /// digits.
    pub(super) fn to_decimal(&self, precision: u8, scale: i8) -> Result<i128, Refusal> {
        if let Some(special) = self.special() {
            return Err(Refusal::value(special));
        }
        let misfit = || Refusal::value(self.to_text().unwrap_or_default());
        let signed = |value: i128| match self.sign {
            POSITIVE => Ok(value),
            NEGATIVE => Ok(-value),
            _ => Err(Refusal::Malformed),
        };
        if let Some(value) = self.small(scale)
            && TENS.get(usize::from(precision)).is_none_or(|end| value < *end)
        {
            return signed(value.into());
        }
        let mut value: i128 = 0;
        // The power of ten that the last group stands for.
        let mut power = (self.weight + 1) * BASE_DIGITS + i32::from(scale);
        for group in self.groups() {
            power -= BASE_DIGITS;
            let mut group = i128::from(group);
            if power >= 0 {
                value = value
                    .checked_mul(BASE)
                    .and_then(|value| value.checked_add(group))
                    .ok_or_else(misfit)?;
                continue;
            }
            // A group that reaches below the last digit of the scale, or is all below it.
            let kept = (BASE_DIGITS + power).max(0);
            for _ in kept..BASE_DIGITS {
                if group % 10 != 0 {
                    return Err(misfit());
                }
                group /= 10;
            }
            for _ in 0..kept {
                value = value.checked_mul(10).ok_or_else(misfit)?;
            }
            value = value.checked_add(group).ok_or_else(misfit)?;
        }
        if value != 0 {
            for _ in 0..power.max(0) {
                value = value.checked_mul(10).ok_or_else(misfit)?;
            }
        }
        if value >= 10_i128.pow(u32::from(precision)) {
            return Err(misfit());
        }
        signed(value)
    }

    /// The same without its sign for most values there are: few digits, none of them lost.
    fn small(&self, scale: i8) -> Option<u64> {
        let groups = self.digits.len() / 2;
        if groups > SMALL_GROUPS {
            return None;
        }
        let value = self.groups().fold(0, |value, group| value * BASE as u64 + u64::from(group));
        // The power of ten that the last group stands for.
        let power = (self.weight + 1 - groups as i32) * BASE_DIGITS + i32::from(scale);
        if value == 0 {
            return Some(0);
        }
        let by = *TENS.get(power.unsigned_abs() as usize)?;
        match power {
            0.. => value.checked_mul(by),
            _ => (value % by == 0).then_some(value / by),
        }
    }

    /// The digits, as the database shows them.
    pub(super) fn to_text(&self) -> Result<String, Refusal> {
        if let Some(special) = self.special() {
            return Ok(special.to_owned());
        }
        let mut text = String::new();
        match self.sign {
            POSITIVE => {}
            NEGATIVE => text.push('-'),
            _ => return Err(Refusal::Malformed),
        }
        let groups: Vec<u16> = self.groups().collect();
        let group = |index: i32| {
            usize::try_from(index).ok().and_then(|i| groups.get(i).copied()).unwrap_or_default()
        };
        if self.weight < 0 {
            text.push('0');
        }
        for index in 0..=self.weight {
            match index {
                0 => text.push_str(&group(0).to_string()),
                _ => text.push_str(&format!("{:04}", group(index))),
            }
        }
        if self.scale > 0 {
            text.push('.');
            let mut fraction = String::new();
            let mut index = self.weight + 1;
            while (fraction.len() as i32) < self.scale {
                fraction.push_str(&format!("{:04}", group(index)));
                index += 1;
            }
            fraction.truncate(usize::try_from(self.scale).unwrap_or_default());
            text.push_str(&fraction);
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::Numeric;

    /// The power of the base, groups, precision, scale, and the digits without a point.
    type Case = (i16, &'static [u16], u8, i8, Option<i128>);

    /// A value as it is sent.
    fn sent(weight: i16, sign: u16, scale: u16, groups: &[u16]) -> Vec<u8> {
        let head = [groups.len() as u16, weight.cast_unsigned(), sign, scale];
        head.iter().chain(groups).flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn few_digits_and_many_give_the_same_value() {
        let cases: [Case; 12] = [
            (1, &[2, 1168, 2300], 15, 2, Some(2_116_823)),
            (0, &[5], 15, 2, Some(500)),
            (-1, &[400], 15, 2, Some(4)),
            (-1, &[450], 15, 2, None),
            (0, &[], 15, 2, Some(0)),
            (3, &[1], 38, 9, Some(1_000_000_000_000_000_000_000)),
            (3, &[9999, 9999, 9999, 9999], 16, 0, Some(9_999_999_999_999_999)),
            (3, &[9999, 9999, 9999, 9999], 15, 0, None),
            (3, &[9999, 9999, 9999, 9999], 38, 4, Some(99_999_999_999_999_990_000)),
            (4, &[1, 0, 0, 0, 1], 20, 0, Some(10_000_000_000_000_001)),
            (-4, &[1], 38, 16, Some(1)),
            (-5, &[1], 38, 16, None),
        ];
        for (weight, groups, precision, scale, expected) in cases {
            for (sign, factor) in [(0, 1), (0x4000, -1)] {
                let bytes = sent(weight, sign, 0, groups);
                let found = Numeric::try_new(&bytes).unwrap().to_decimal(precision, scale).ok();
                assert_eq!(found, expected.map(|v| v * factor), "{weight} {groups:?} {scale}");
            }
        }
        assert!(Numeric::try_new(&sent(0, 0x1234, 0, &[1])).unwrap().to_decimal(5, 0).is_err());
    }
}

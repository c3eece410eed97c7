//! TCP sequence numbers (RFC 9293, section 3.4): numbers on a circle of 2^32.

/// A position in a TCP byte stream.
///
/// On a circle nothing is greater than anything else, so there is no `Ord`: only what lies ahead of
/// what, by less than half the circle.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct SeqNumber(u32);

impl SeqNumber {
    /// The number as it stands in a header.
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    /// The number as it stands in a header.
    pub const fn value(self) -> u32 {
        self.0
    }

    /// The number `distance` bytes ahead.
    #[must_use]
    pub const fn advance(self, distance: u32) -> Self {
        Self(self.0.wrapping_add(distance))
    }

    /// The number `distance` bytes behind.
    #[must_use]
    pub const fn rewind(self, distance: u32) -> Self {
        Self(self.0.wrapping_sub(distance))
    }

    /// How many bytes to go ahead from `earlier` to get here.
    pub const fn distance_from(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// Whether this number comes before `other`.
    pub const fn before(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() < 0
    }

    /// Whether this number comes after `other`.
    pub const fn after(self, other: Self) -> bool {
        other.before(self)
    }
}

/// The number that `odd` times gives 1 modulo 2^32, and so modulo any lower power of two.
pub(crate) const fn inverse(odd: u32) -> u32 {
    let (mut inverse, mut rounds) = (odd, 0);
    // Each round doubles the bits that are right: 3, 6, 12, 24, 48.
    while rounds < 4 {
        inverse = inverse.wrapping_mul(2_u32.wrapping_sub(odd.wrapping_mul(inverse)));
        rounds += 1;
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::{SeqNumber, inverse};

    const HALF: u32 = 1 << 31;

    #[quickcheck_macros::quickcheck]
    fn advancing_and_rewinding_undo_each_other(start: u32, distance: u32) -> bool {
        let start = SeqNumber::new(start);
        let end = start.advance(distance);
        end.rewind(distance) == start && end.distance_from(start) == distance
    }

    #[quickcheck_macros::quickcheck]
    fn an_odd_number_times_its_inverse_is_one(number: u32) -> bool {
        let odd = number | 1;
        odd.wrapping_mul(inverse(odd)) == 1
    }

    #[quickcheck_macros::quickcheck]
    fn within_half_the_circle_order_is_the_order_of_distances(start: u32, near: u32, far: u32) -> bool {
        let (near, far) = (near % HALF, far % HALF);
        let start = SeqNumber::new(start);
        let (a, b) = (start.advance(near), start.advance(far));
        a.before(b) == (near < far) && a.after(b) == (near > far)
    }

    #[quickcheck_macros::quickcheck]
    fn nothing_is_before_itself_nor_both_before_and_after(a: u32, b: u32) -> bool {
        let (a, b) = (SeqNumber::new(a), SeqNumber::new(b));
        !a.before(a) && (a.distance_from(b) == HALF || !(a.before(b) && a.after(b)))
    }
}

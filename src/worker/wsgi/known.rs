//! What strings of the application were found to mean, remembered by the object and not by its text.
//!
//! A constant of a program is the same object in each request. It is kept here, so that no other one
//! can come to its address.

use pyo3::prelude::*;
use pyo3::types::PyString;

/// The longest text that is worth its place, and harmless to keep.
const LONGEST: usize = 64;

/// A table of `PLACES` strings, each with its meaning; a new one takes the place of another.
pub(crate) struct Known<T, const PLACES: usize> {
    places: [Option<(Py<PyString>, T)>; PLACES],
}

impl<T, const PLACES: usize> Default for Known<T, PLACES> {
    fn default() -> Self {
        Self { places: [const { None }; PLACES] }
    }
}

impl<T: Clone, const PLACES: usize> Known<T, PLACES> {
    /// Where a string has its place: objects begin at multiples of 16.
    fn place(string: &Bound<'_, PyString>) -> usize {
        let address = string.as_ptr() as usize;
        ((address >> 4) ^ (address >> 10)) % PLACES
    }

    /// What this very object means, if that is known.
    pub(crate) fn get(&self, string: &Bound<'_, PyString>) -> Option<&T> {
        let (known, meaning) = self.places.get(Self::place(string))?.as_ref()?;
        (known.as_ptr() == string.as_ptr()).then_some(meaning)
    }

    /// Remembers what `string`, with this text, means.
    pub(crate) fn note(&mut self, string: &Bound<'_, PyString>, text: &[u8], meaning: &T) {
        // What ends an object of another class may be code of the application.
        if text.len() <= LONGEST
            && string.is_exact_instance_of::<PyString>()
            && let Some(place) = self.places.get_mut(Self::place(string))
        {
            *place = Some((string.clone().unbind(), meaning.clone()));
        }
    }
}

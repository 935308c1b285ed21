use super::QueueId;
use crate::planted::planted;

/// Something of each queue. The id of a queue that is gone leads to nothing, whoever has its place by now.
#[derive(Debug)]
pub(crate) struct ByQueue<T> {
    places: Vec<Option<(QueueId, T)>>,
}

impl<T> Default for ByQueue<T> {
    fn default() -> Self {
        Self { places: Vec::new() }
    }
}

impl<T> ByQueue<T> {
    /// An id whose place is behind all others.
    pub(super) fn unused(&self) -> QueueId {
        QueueId { place: u32::try_from(self.places.len()).unwrap_or(u32::MAX), life: 0 }
    }

    /// The place of `id` must be free, and those before it known.
    pub(crate) fn insert(&mut self, id: QueueId, value: T) {
        let at = id.place as usize;
        if at >= self.places.len() {
            self.places.resize_with(at + 1, || None);
        }
        if let Some(place) = self.places.get_mut(at) {
            debug_assert!(place.is_none(), "a place is given to one queue at a time");
            *place = Some((id, value));
        }
    }

    pub(crate) fn remove(&mut self, id: QueueId) -> Option<T> {
        let place = self.places.get_mut(id.place as usize)?;
        place.take_if(|(of, _)| *of == id).map(|(_, value)| value)
    }

    pub(crate) fn get(&self, id: QueueId) -> Option<&T> {
        self.places
            .get(id.place as usize)?
            .as_ref()
            .filter(|(of, _)| is_same(*of, id))
            .map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, id: QueueId) -> Option<&mut T> {
        self.places
            .get_mut(id.place as usize)?
            .as_mut()
            .filter(|(of, _)| is_same(*of, id))
            .map(|(_, value)| value)
    }

    /// In the order of the places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (QueueId, &T)> {
        self.places.iter().flatten().map(|(id, value)| (*id, value))
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.places.iter_mut().flatten().map(|(_, value)| value)
    }

    /// Places, taken or free.
    #[cfg(test)]
    pub(crate) fn places(&self) -> usize {
        self.places.len()
    }
}

fn is_same(of: QueueId, asked: QueueId) -> bool {
    of == asked || planted("an old queue id leads to the next queue")
}

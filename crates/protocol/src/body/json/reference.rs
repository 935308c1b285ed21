//! fastjson's `{"$ref":"$.a[0].b"}`: the container that was written before under that path.

use super::{BodyError, Json, MAX_DEPTH, MAX_VALUES};

/// Replaces each reference by a copy of what it names. What is copied counts towards the limit of values.
pub(super) fn resolve(root: Json<'_>) -> Result<Json<'_>, BodyError> {
    if !holds_reference(&root) {
        return Ok(root);
    }
    let mut budget = MAX_VALUES;
    copy(&root, &root, 0, &mut budget)
}

fn holds_reference(value: &Json<'_>) -> bool {
    match value {
        Json::Array(elements) => elements.iter().any(holds_reference),
        Json::Object(members) => {
            target(value).is_some() || members.iter().any(|(_, value)| holds_reference(value))
        }
        _ => false,
    }
}

/// The path, if the value is a reference.
fn target<'a>(value: &'a Json<'_>) -> Option<&'a str> {
    match value {
        Json::Object(members) => match members.as_slice() {
            [(Json::Text(key), Json::Text(path))] if key == "$ref" => Some(path),
            _ => None,
        },
        _ => None,
    }
}

fn copy<'t>(
    value: &Json<'t>,
    root: &Json<'t>,
    depth: usize,
    budget: &mut usize,
) -> Result<Json<'t>, BodyError> {
    // Long texts count as several values: they are copied as well, by whoever keeps them.
    let cost = match value {
        Json::Text(text) => 1 + text.len() / 32,
        _ => 1,
    };
    pay(cost, budget)?;
    // A reference may lead to another one, and a cycle of them ends here.
    if depth > 2 * MAX_DEPTH {
        return Err(BodyError::Syntax { at: 0, reason: "references nest too deep" });
    }
    if let Some(path) = target(value) {
        let found = lookup(root, path, budget)?.ok_or_else(|| BodyError::Reference(path.to_owned()))?;
        return copy(found, root, depth + 1, budget);
    }
    Ok(match value {
        Json::Array(elements) => Json::Array(
            elements
                .iter()
                .map(|element| copy(element, root, depth + 1, budget))
                .collect::<Result<_, _>>()?,
        ),
        Json::Object(members) => Json::Object(
            members
                .iter()
                .map(|(key, value)| {
                    let key = copy(key, root, depth + 1, budget)?;
                    Ok((key, copy(value, root, depth + 1, budget)?))
                })
                .collect::<Result<_, _>>()?,
        ),
        plain => plain.clone(),
    })
}

fn pay(cost: usize, budget: &mut usize) -> Result<(), BodyError> {
    *budget = budget.checked_sub(cost).ok_or(BodyError::TooLarge { limit: MAX_VALUES })?;
    Ok(())
}

/// Follows a path of the form `$.name[index].name`. Members to look through count as well, 16 of them as one value.
fn lookup<'a, 't>(
    root: &'a Json<'t>,
    path: &str,
    budget: &mut usize,
) -> Result<Option<&'a Json<'t>>, BodyError> {
    let Some(mut rest) = path.strip_prefix('$') else { return Ok(None) };
    let mut at = root;
    while !rest.is_empty() {
        if let Json::Object(members) = at {
            pay(members.len() / 16, budget)?;
        }
        let Some((found, tail)) = step(at, rest) else { return Ok(None) };
        (at, rest) = (found, tail);
    }
    Ok(Some(at))
}

/// What the first part of a path leads to, and the other parts.
fn step<'a, 't, 'p>(at: &'a Json<'t>, path: &'p str) -> Option<(&'a Json<'t>, &'p str)> {
    if let Some(tail) = path.strip_prefix('[') {
        let (index, tail) = tail.split_once(']')?;
        let found = match at {
            Json::Array(elements) => elements.get(index.parse::<usize>().ok()?)?,
            object => member(object, index.trim_matches(['"', '\'']))?,
        };
        return Some((found, tail));
    }
    let tail = path.strip_prefix('.')?;
    let (name, tail) = tail.split_at(tail.find(['.', '[']).unwrap_or(tail.len()));
    Some((member(at, name)?, tail))
}

fn member<'a, 't>(value: &'a Json<'t>, name: &str) -> Option<&'a Json<'t>> {
    match value {
        Json::Object(members) => members
            .iter()
            .rev()
            .find(|(key, _)| matches!(key, Json::Text(key) if key == name))
            .map(|(_, value)| value),
        _ => None,
    }
}

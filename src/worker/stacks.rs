//! Where Python threads are: their stacks, as a traceback would show them.
//!
//! All frames are read first, without a step of Python code, so that nobody moves meanwhile; only
//! then they are written out, which may read source files.

use std::collections::HashMap;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use rwsgi_core::ipc::ThreadStack;

use crate::desk::Desks;

/// Frames of a stack that are shown; the outermost of a deeper one are left out.
const DEEPEST: usize = 200;
/// Bytes of all stacks together: they have to fit into one message, in which some bytes take two.
const LONGEST: usize = 80 * 1024;

type Frame = (String, u32, String, Option<String>);

/// Imports what is needed to tell, while nobody is in the way.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    ["traceback", "threading"].into_iter().try_for_each(|name| py.import(name).map(drop))
}

/// The stack of one thread.
pub(crate) fn of_thread(py: Python<'_>, ident: u64) -> PyResult<String> {
    let Some(frame) = current_frames(py)?.get_item(ident)? else { return Ok(String::new()) };
    write(py, frames(frame)?)
}

/// The stacks of all threads, those that run requests first.
pub(crate) fn of_all(py: Python<'_>, desks: &Desks) -> PyResult<Vec<ThreadStack>> {
    let read: Vec<(u64, Vec<Frame>)> = current_frames(py)?
        .iter()
        .map(|(ident, frame)| Ok((ident.extract()?, frames(frame)?)))
        .collect::<PyResult<_>>()?;
    let names = names(py).unwrap_or_default();
    let hands: HashMap<u64, u16> = desks.idents().collect();
    let mut stacks = Vec::new();
    for (ident, frames) in read {
        let name = names.get(&ident).cloned().unwrap_or_else(|| format!("thread {ident}"));
        let number = hands.get(&ident).copied();
        stacks.push(ThreadStack { name, number, stack: write(py, frames)? });
    }
    stacks.sort_by_key(|one| (one.number.is_none(), one.number, one.name.clone()));
    bound(&mut stacks);
    Ok(stacks)
}

/// The stacks of the threads that run requests, as one text.
pub(crate) fn of_hands(py: Python<'_>, desks: &Desks) -> PyResult<String> {
    let hands = of_all(py, desks)?.into_iter().filter(|one| one.number.is_some());
    Ok(hands.map(|one| format!("{}:\n{}", one.name, one.stack)).collect())
}

fn current_frames(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    Ok(py.import("sys")?.call_method0("_current_frames")?.cast_into()?)
}

/// The frames of a stack, the innermost last.
fn frames(innermost: Bound<'_, PyAny>) -> PyResult<Vec<Frame>> {
    let mut frames = Vec::new();
    let mut next = innermost;
    while !next.is_none() && frames.len() < DEEPEST {
        let code = next.getattr("f_code")?;
        let file = code.getattr("co_filename")?.extract()?;
        let line: Option<u32> = next.getattr("f_lineno")?.extract()?;
        frames.push((file, line.unwrap_or(0), code.getattr("co_name")?.extract()?, None));
        next = next.getattr("f_back")?;
    }
    frames.reverse();
    Ok(frames)
}

fn write(py: Python<'_>, frames: Vec<Frame>) -> PyResult<String> {
    let lines = py.import("traceback")?.call_method1("format_list", (frames,))?;
    lines.try_iter()?.map(|line| line?.extract::<String>()).collect()
}

/// By number. `threading.enumerate` takes a lock that a stuck thread may hold.
fn names(py: Python<'_>) -> PyResult<HashMap<u64, String>> {
    let active = py.import("threading")?.getattr("_active")?.cast_into::<PyDict>()?;
    active
        .iter()
        .map(|(ident, thread)| Ok((ident.extract()?, thread.getattr("name")?.extract()?)))
        .collect()
}

/// Cuts the outermost calls of long stacks: where a thread is matters more than how it came there.
fn bound(stacks: &mut [ThreadStack]) {
    let share = LONGEST / stacks.len().max(1);
    for one in stacks.iter_mut().filter(|one| one.stack.len() > share) {
        let mut cut = one.stack.len() - share;
        while !one.stack.is_char_boundary(cut) {
            cut += 1;
        }
        one.stack = format!("  ...\n{}", &one.stack[cut..]);
    }
}

//! Vocable from end to end: the real host agent, real guest agents and the real command line, told as stories.
//!
//! One module a theme. What the stories are played on is `vocable_tests`.

#[cfg(test)]
mod joining;
#[cfg(test)]
mod running;

#[cfg(test)]
mod commanding;

#[cfg(test)]
mod fleet;
#[cfg(test)]
mod retries;

#[cfg(test)]
mod losses;
#[cfg(test)]
mod networks;

#[cfg(test)]
mod chaos;
#[cfg(test)]
mod crowds;
#[cfg(test)]
mod machines;
#[cfg(test)]
mod partitions;

#[cfg(test)]
mod limits;
#[cfg(test)]
mod orders;
#[cfg(test)]
mod strangers;
#[cfg(test)]
mod waiting;

#[cfg(test)]
mod swaps;
#[cfg(test)]
mod words;
#[cfg(test)]
mod wrapper;

#[cfg(test)]
mod api;
#[cfg(test)]
mod copies;
#[cfg(test)]
mod images;

#[cfg(test)]
mod callers;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod impostors;
#[cfg(test)]
mod neighbours;
#[cfg(test)]
mod operators;
#[cfg(test)]
mod siege;

#[cfg(test)]
mod demonstration;

#[cfg(test)]
mod schemas;
#[cfg(test)]
mod terminals;

#[cfg(test)]
mod peers;

#[cfg(test)]
mod virtualbox;

#[cfg(test)]
mod replies;

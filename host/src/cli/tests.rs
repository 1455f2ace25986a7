//! What every verb prints, on people's terminals and as JSON, against an agent that says what it is told.

mod help;

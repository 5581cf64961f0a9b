"""## Incidents: take one on, silence, call one over

An alert says the number of its incident. These three forms do what `tidemark incident` does on a command line; who
fills one in is on the record, with the reason.

- `acknowledge_incident` says that you are at it; nothing else changes.
- `silence_incidents` keeps what you name quiet until it ends by itself, after 90 days at most: one incident by its
  number, or whatever is of a pipeline, an asset or a cause class.
- `resolve_incident` says that it is over; if it is not, the next look opens a new one.

The log of the run says what was done and which incidents are open, and so does its XCom. A form that cannot be done is
a red run, whose log says why. The runbook of each cause class is in `docs/runbooks`.
"""

from tidemark import incident_forms

acknowledge, silence, resolve = incident_forms()

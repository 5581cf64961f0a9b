"""## Take a promotion of a model back

Fill in the model, the version that is to be champion again (or `previous`) and why. Only who is named in
`TIDEMARK_APPROVERS` may; the run is red otherwise, and its log says why. Nothing runs yet: the next run of the
pipelines that read the champion brings back what was made with the earlier one, and makes anew what only this one has
made.
"""

from tidemark import rollback_form

dag = rollback_form("rollback_model")

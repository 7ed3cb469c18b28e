"""``cicd-core dynamodb``: the tables, the code that makes them, and what a month of them costs."""

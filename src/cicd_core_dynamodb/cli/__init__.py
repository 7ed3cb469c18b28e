"""``cicd-core dynamodb``: manage tables, write infrastructure code, estimate costs."""

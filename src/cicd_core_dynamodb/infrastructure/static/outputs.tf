output "store_url" {
  description = "The URL for `open_store` and `--store`."
  value       = "dynamodb://?prefix=${var.prefix}&region=${local.region}"
}

output "table_names" {
  description = "The names of the tables, by collection."
  value       = local.table_names
}

output "table_arns" {
  description = "The ARNs of the tables, by collection."
  value       = local.table_arns
}

output "policy_documents" {
  description = "The rights of each role, as JSON: attach them as you like."
  value = {
    control-plane = data.aws_iam_policy_document.control_plane.json
    agent         = data.aws_iam_policy_document.agent.json
    reader        = data.aws_iam_policy_document.reader.json
  }
}

output "policy_arns" {
  description = "The managed policies; empty without `create_policies`."
  value = var.create_policies ? {
    control-plane = aws_iam_policy.control_plane[0].arn
    agent         = aws_iam_policy.agent[0].arn
    reader        = aws_iam_policy.reader[0].arn
  } : {}
}

output "http_url" {
  description = "The URL for `--server`; null without `http_package`."
  value       = var.http_package == null ? null : aws_apigatewayv2_api.http[0].api_endpoint
}

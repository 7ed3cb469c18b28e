# The API as a function behind an HTTP API of API Gateway. Only with `http_package`.
# Callers need an API key or a session: `cicd-core keys create` makes the first one.

variable "http_package" {
  description = "A zip with cicd-core[dynamodb,http,lambda] and its dependencies; null: no API."
  type        = string
  default     = null
}

variable "http_runtime" {
  description = "The runtime that the package was made for."
  type        = string
  default     = "python3.13"
}

variable "http_memory" {
  description = "The memory of the function, in MiB; its share of a CPU grows with it."
  type        = number
  default     = 512
}

variable "http_concurrency" {
  description = "The most concurrent requests, waiting claims included; -1: no reserved limit."
  type        = number
  default     = -1
}

locals {
  http = var.http_package == null ? 0 : 1
}

resource "aws_iam_role" "http" {
  count              = local.http
  name               = "${var.prefix}http"
  assume_role_policy = data.aws_iam_policy_document.lambda_trust.json
  tags               = var.tags
}

resource "aws_iam_role_policy" "http" {
  count  = local.http
  name   = "store"
  role   = aws_iam_role.http[0].id
  policy = data.aws_iam_policy_document.control_plane.json
}

resource "aws_iam_role_policy_attachment" "http_logs" {
  count      = local.http
  role       = aws_iam_role.http[0].name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
}

resource "aws_cloudwatch_log_group" "http" {
  count             = local.http
  name              = "/aws/lambda/${var.prefix}http"
  retention_in_days = 30
  tags              = var.tags
}

resource "aws_lambda_function" "http" {
  count                          = local.http
  function_name                  = "${var.prefix}http"
  description                    = "The API of cicd-core."
  role                           = aws_iam_role.http[0].arn
  runtime                        = var.http_runtime
  handler                        = "cicd_core.http.server.lambda_handler.handle"
  filename                       = var.http_package
  source_code_hash               = filebase64sha256(var.http_package)
  memory_size                    = var.http_memory
  timeout                        = 30
  reserved_concurrent_executions = var.http_concurrency
  tags                           = var.tags

  environment {
    variables = {
      CICD_STORE = "dynamodb://?prefix=${var.prefix}&region=${local.region}"
    }
  }

  depends_on = [aws_cloudwatch_log_group.http]
}

resource "aws_apigatewayv2_api" "http" {
  count         = local.http
  name          = "${var.prefix}http"
  description   = "The API of cicd-core."
  protocol_type = "HTTP"
  tags          = var.tags
}

resource "aws_apigatewayv2_integration" "http" {
  count                  = local.http
  api_id                 = aws_apigatewayv2_api.http[0].id
  integration_type       = "AWS_PROXY"
  integration_uri        = aws_lambda_function.http[0].invoke_arn
  payload_format_version = "2.0"
  timeout_milliseconds   = 30000
}

resource "aws_apigatewayv2_route" "http" {
  count     = local.http
  api_id    = aws_apigatewayv2_api.http[0].id
  route_key = "$default"
  target    = "integrations/${aws_apigatewayv2_integration.http[0].id}"
}

resource "aws_apigatewayv2_stage" "http" {
  count       = local.http
  api_id      = aws_apigatewayv2_api.http[0].id
  name        = "$default"
  auto_deploy = true
  tags        = var.tags
}

resource "aws_lambda_permission" "http" {
  count         = local.http
  statement_id  = "ApiGateway"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.http[0].function_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.http[0].execution_arn}/*/*"
}

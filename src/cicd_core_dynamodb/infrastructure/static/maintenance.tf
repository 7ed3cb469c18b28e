# Maintenance as a function: it takes jobs back from lost agents, and makes delayed jobs ready.
# Only with `maintenance_package`.

variable "maintenance_package" {
  description = "A zip with cicd-core[dynamodb] and its dependencies; null: no function."
  type        = string
  default     = null
}

variable "maintenance_runtime" {
  description = "The runtime that the package was made for."
  type        = string
  default     = "python3.13"
}

variable "maintenance_seconds" {
  description = "How many seconds of each minute a run sweeps; 0: one sweep."
  type        = number
  default     = 50

  validation {
    condition     = var.maintenance_seconds >= 0 && var.maintenance_seconds <= 55
    error_message = "Give 0 to 55: a run begins every minute."
  }
}

locals {
  maintenance = var.maintenance_package == null ? 0 : 1
}

resource "aws_iam_role" "maintenance" {
  count              = local.maintenance
  name               = "${var.prefix}maintenance"
  assume_role_policy = data.aws_iam_policy_document.lambda_trust.json
  tags               = var.tags
}

resource "aws_iam_role_policy" "maintenance" {
  count  = local.maintenance
  name   = "store"
  role   = aws_iam_role.maintenance[0].id
  policy = data.aws_iam_policy_document.control_plane.json
}

resource "aws_iam_role_policy_attachment" "maintenance_logs" {
  count      = local.maintenance
  role       = aws_iam_role.maintenance[0].name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
}

resource "aws_cloudwatch_log_group" "maintenance" {
  count             = local.maintenance
  name              = "/aws/lambda/${var.prefix}maintenance"
  retention_in_days = 30
  tags              = var.tags
}

resource "aws_lambda_function" "maintenance" {
  count            = local.maintenance
  function_name    = "${var.prefix}maintenance"
  description      = "Maintenance of cicd-core."
  role             = aws_iam_role.maintenance[0].arn
  runtime          = var.maintenance_runtime
  handler          = "cicd_core_dynamodb.lambda_handlers.maintain"
  filename         = var.maintenance_package
  source_code_hash = filebase64sha256(var.maintenance_package)
  memory_size      = 256
  timeout          = 60
  tags             = var.tags

  # One at a time is enough; more are harmless.
  reserved_concurrent_executions = 1

  environment {
    variables = {
      CICD_STORE         = "dynamodb://?prefix=${var.prefix}&region=${local.region}"
      CICD_SWEEP_SECONDS = var.maintenance_seconds
    }
  }

  depends_on = [aws_cloudwatch_log_group.maintenance]
}

resource "aws_cloudwatch_event_rule" "maintenance" {
  count               = local.maintenance
  name                = "${var.prefix}maintenance"
  description         = "Runs the maintenance of cicd-core."
  schedule_expression = "rate(1 minute)"
  tags                = var.tags
}

resource "aws_cloudwatch_event_target" "maintenance" {
  count = local.maintenance
  rule  = aws_cloudwatch_event_rule.maintenance[0].name
  arn   = aws_lambda_function.maintenance[0].arn
}

resource "aws_lambda_permission" "maintenance" {
  count         = local.maintenance
  statement_id  = "EventBridge"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.maintenance[0].function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.maintenance[0].arn
}

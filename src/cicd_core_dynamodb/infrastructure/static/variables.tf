variable "prefix" {
  description = "The prefix of the names of tables, policies and functions."
  type        = string
  default     = "ci-"

  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]{0,100}$", var.prefix))
    error_message = "Give up to 100 characters of A-Z a-z 0-9 _ . -"
  }
}

variable "region" {
  description = "The region in the URL of the store; null: the provider's."
  type        = string
  default     = null
}

variable "tags" {
  description = "The tags of all resources."
  type        = map(string)
  default     = {}
}

variable "deletion_protection" {
  description = "Refuse to delete a table until this is turned off."
  type        = bool
  default     = true
}

variable "point_in_time_recovery" {
  description = "Back up all tables continuously, except the sessions."
  type        = bool
  default     = true
}

variable "kms_key_arn" {
  description = "The key that encrypts the tables; null: DynamoDB's own, which is free."
  type        = string
  default     = null
}

variable "sessions_kms_key_arn" {
  description = "A separate key for the sessions; null: the key of the other tables."
  type        = string
  default     = null
}

variable "create_policies" {
  description = "Create managed policies for the roles; their documents are outputs in any case."
  type        = bool
  default     = true
}

locals {
  region               = coalesce(var.region, data.aws_region.current.name)
  sessions_kms_key_arn = var.sessions_kms_key_arn == null ? var.kms_key_arn : var.sessions_kms_key_arn
  kms_key_arns         = distinct(compact([var.kms_key_arn, local.sessions_kms_key_arn]))
}

data "aws_region" "current" {}

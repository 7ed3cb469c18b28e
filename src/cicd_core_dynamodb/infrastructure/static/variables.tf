variable "prefix" {
  description = "What the names of tables, policies and functions begin with."
  type        = string
  default     = "ci-"

  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]{0,100}$", var.prefix))
    error_message = "Give up to 100 characters of A-Z a-z 0-9 _ . -"
  }
}

variable "region" {
  description = "The region that the URL of the store names; null: the provider's."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = {}
}

variable "deletion_protection" {
  description = "Refuse to delete a table until this is turned off."
  type        = bool
  default     = true
}

variable "point_in_time_recovery" {
  description = "Back the tables up continuously, but for the sessions."
  type        = bool
  default     = true
}

variable "kms_key_arn" {
  description = "The key that encrypts the tables; null: DynamoDB's own, which is free."
  type        = string
  default     = null
}

variable "sessions_kms_key_arn" {
  description = "A key of its own for the sessions; null: the one of the other tables."
  type        = string
  default     = null
}

variable "create_policies" {
  description = "Make managed policies of the rights; their documents are outputs in any case."
  type        = bool
  default     = true
}

locals {
  region               = coalesce(var.region, data.aws_region.current.name)
  sessions_kms_key_arn = var.sessions_kms_key_arn == null ? var.kms_key_arn : var.sessions_kms_key_arn
  kms_key_arns         = distinct(compact([var.kms_key_arn, local.sessions_kms_key_arn]))
}

data "aws_region" "current" {}

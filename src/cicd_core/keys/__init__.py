"""API keys: a complete slice: values (model), rules, records and a service."""

// Package bellwire uses the generated client: it compiles as long as names, bodies and answers stay what they are.
package bellwire

import "context"

// Publish publishes a notification, and returns its id or what is wrong.
func Publish(ctx context.Context, client ClientWithResponsesInterface) (string, error) {
	key := "order-7"
	body := NewNotification{UserId: "demo", Event: "order.shipped", Message: "On its way."}
	answer, err := client.PublishNotificationWithResponse(
		ctx, &PublishNotificationParams{IdempotencyKey: &key}, body)
	if err != nil {
		return "", err
	}
	if problem := answer.ApplicationproblemJSON422; problem != nil {
		return problem.Detail, nil
	}
	return answer.JSON202.Id.String(), nil
}

// LockOut disables a user and signs it out everywhere.
func LockOut(ctx context.Context, client ClientWithResponsesInterface, user string) (bool, error) {
	disabled, err := client.DisableUserWithResponse(ctx, user)
	if err != nil {
		return false, err
	}
	revoked, err := client.RevokeTokensWithResponse(ctx, user)
	if err != nil {
		return false, err
	}
	return disabled.StatusCode() == 204 && revoked.StatusCode() == 204, nil
}

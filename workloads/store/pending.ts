// Operations of the port that an implementation does not have yet; goes away once both have all of them.

export class PendingStore {
  settleEntries(): Promise<never> {
    return pending('settleEntries');
  }
  deliveryStates(): Promise<never> {
    return pending('deliveryStates');
  }
  saveAttempts(): Promise<never> {
    return pending('saveAttempts');
  }
  cancelTopicEntry(): Promise<never> {
    return pending('cancelTopicEntry');
  }
  renewRoleLease(): Promise<never> {
    return pending('renewRoleLease');
  }
  dropRoleLease(): Promise<never> {
    return pending('dropRoleLease');
  }
  roleLeases(): Promise<never> {
    return pending('roleLeases');
  }
  topicSubscribers(): Promise<never> {
    return pending('topicSubscribers');
  }
  putMessages(): Promise<never> {
    return pending('putMessages');
  }
  messages(): Promise<never> {
    return pending('messages');
  }
  changeMessage(): Promise<never> {
    return pending('changeMessage');
  }
  messageChunk(): Promise<never> {
    return pending('messageChunk');
  }
  bodies(): Promise<never> {
    return pending('bodies');
  }
  putJobs(): Promise<never> {
    return pending('putJobs');
  }
  claimJobs(): Promise<never> {
    return pending('claimJobs');
  }
  delayJob(): Promise<never> {
    return pending('delayJob');
  }
  finishJobs(): Promise<never> {
    return pending('finishJobs');
  }
  countJobs(): Promise<never> {
    return pending('countJobs');
  }
  putDeadLetters(): Promise<never> {
    return pending('putDeadLetters');
  }
  deadLetter(): Promise<never> {
    return pending('deadLetter');
  }
  deadLetters(): Promise<never> {
    return pending('deadLetters');
  }
  changeDeadLetters(): Promise<never> {
    return pending('changeDeadLetters');
  }
  countDeadLetters(): Promise<never> {
    return pending('countDeadLetters');
  }
  changeGroup(): Promise<never> {
    return pending('changeGroup');
  }
  groupMembers(): Promise<never> {
    return pending('groupMembers');
  }
  isGroupMember(): Promise<never> {
    return pending('isGroupMember');
  }
  ledger(): Promise<never> {
    return pending('ledger');
  }
  countWaiting(): Promise<never> {
    return pending('countWaiting');
  }
}
function pending(name: string): Promise<never> {
  return Promise.reject(new Error(`the store has no ${name} yet`));
}

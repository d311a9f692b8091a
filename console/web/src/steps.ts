// Events of funnels, retention and intervals, each with a filter of its own.
import { conditions, type Filter } from './report';

export interface Step {
  event: string;
  filter: Filter | null;
}

/** A step as the API takes it; null while no event is picked. */
export function sentStep(step: Step): object | null {
  if (!step.event) return null;
  return conditions(step.filter).length ? { event: step.event, filter: step.filter } : { event: step.event };
}
/** The steps that are complete. */
export const sentSteps = (steps: Step[]): object[] =>
  steps.map(sentStep).filter((step): step is object => step !== null);

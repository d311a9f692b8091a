// Saved boards: what the API keeps of them.
import { api } from './api';
import type { Params } from './report';
import { project } from './session';

export interface Tile {
  title: string;
  report: string;
  params: Params;
  /** The page it came from, with its state. */
  link: string;
}
export interface Board {
  id: string;
  project: string;
  name: string;
  tiles: Tile[];
  by: string;
}

/** Boards of the project. */
export async function listBoards(signal?: AbortSignal): Promise<Board[]> {
  return (await api<{ boards: Board[] }>('boards', { query: { project: project.value }, signal })).boards;
}

/** A new board of the project. */
export function createBoard(name: string, tiles: Tile[] = []): Promise<Board> {
  return api<Board>('boards', { method: 'POST', body: { project: project.value, name, tiles } });
}

/** Writes name and tiles. */
export function saveBoard({ id, name, tiles }: Board): Promise<Board> {
  return api<Board>(`boards/${encodeURIComponent(id)}`, { method: 'PUT', body: { name, tiles } });
}

/** Removes it. */
export function removeBoard(id: string): Promise<unknown> {
  return api(`boards/${encodeURIComponent(id)}`, { method: 'DELETE' });
}
